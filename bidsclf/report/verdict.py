"""The ten-second answer: whether the best model beats what sees no brain."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd

from bidsclf.report import page
from bidsclf.report.page import is_control

LEVEL = 0.05  # of Holm's p for "clearly above a control"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A headline, the sentences under it, and whether they are good news.

    Attributes
    ----------
    headline : str
    mood : {'good', 'bad', ''}
    sentences : list of str
    """

    headline: str
    mood: str = ""
    sentences: list[str] = field(default_factory=list)


def pooled(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the pooled rows of one metric, one a model, in the order of the table."""
    rows = metrics[(metrics["scope"] == "pooled") & (metrics["metric"] == metric)]
    return rows.drop_duplicates("model").set_index("model")


def judge(
    metrics: pd.DataFrame,
    comparisons: pd.DataFrame,
    *,
    failed: Mapping[str, str],
    scheme: str,
) -> Verdict:
    """Compare the best model with every control and with chance.

    A model is better than a control when its AUC is larger and Holm's p of their
    difference is below .05, and better than chance when the interval of its AUC
    lies above .5: a control that knows nothing often falls below .5. A control
    that failed leaves the question open. With a site left out, control-site
    knows nothing by construction and is not counted.

    Parameters
    ----------
    metrics, comparisons : DataFrame
        As in metrics.tsv and comparisons.tsv.
    failed : dict
        Models that failed, with the reason.
    scheme : {'kfold', 'loso'}
    """
    auc = pooled(metrics, "auc").dropna(subset="estimate")
    models = auc[[not is_control(model) for model in auc.index]]
    if models.empty:
        broken = [model for model in failed if not is_control(model)]
        said = f"failed: {', '.join(broken)}" if broken else "none was asked for"
        return Verdict(f"No model of the brain was fitted ({said}).", "bad")
    best = str(models["estimate"].idxmax())
    headline = f"{best}: AUC {_interval(models.loc[best])}."
    asked = [m for m in (*auc.index, *failed) if is_control(m)]
    counted = [m for m in asked if (scheme, m) != ("loso", "control-site")]
    answer, why = _against(best, models.loc[best], counted, comparisons, failed)
    sentences = [f"Better than every control: {answer}{why}"]
    sentences += _cautions(models, auc.loc[[m for m in counted if m in auc.index]])
    return Verdict(headline, "good" if answer == "yes" else "bad", sentences)


def _interval(row: pd.Series) -> str:
    return page.interval(row["estimate"], row["low"], row["high"])


def _against(
    best: str,
    row: pd.Series,
    controls: list[str],
    comparisons: pd.DataFrame,
    failed: Mapping[str, str],
) -> tuple[str, str]:
    """Return whether the best model beats every control, and the reason."""
    if not controls:
        return "unknown", ", since none was fitted."
    gone = [control for control in controls if control in failed]
    lost = [c for c in controls if c not in failed and not _beats(comparisons, best, c)]
    if not row["low"] > 0.5:
        lost.append("chance (AUC .5)")
    if lost:
        return "no", f"; not clearly above {', '.join(lost)}."
    if gone:
        return "unknown", f", since {', '.join(gone)} failed."
    return "yes", f" ({', '.join(controls)}; Holm's p < .05)."


def _beats(comparisons: pd.DataFrame, model: str, control: str) -> bool:
    forth = comparisons.query("model_a == @model and model_b == @control")
    back = comparisons.query("model_a == @control and model_b == @model")
    above = [*forth["difference"], *(-back["difference"])]
    p = [*forth["p_holm"], *back["p_holm"]]
    return bool(p) and min(above) > 0 and max(p) < LEVEL


def _cautions(models: pd.DataFrame, controls: pd.DataFrame) -> Iterator[str]:
    """Yield what keeps the headline from being read as more than it is."""
    knowing = controls.index[controls["low"] > 0.5]
    if len(knowing):
        named = _listed(f"{c} (AUC {controls.loc[c, 'estimate']:.2f})" for c in knowing)
        yield f"{named} alone tells the groups apart: part of the score may be that."
    if len(models) > 1:
        yield (
            f"It is the best of {len(models)} models, chosen after seeing them all:"
            " its own figure is a little too good."
        )
    if (models["low"] == models["high"]).any():
        yield (
            "An interval without width means that every pair was ordered rightly in"
            " this sample, not that the next one will be."
        )


def _listed(words: Iterable[str]) -> str:
    return " and ".join(words)
