"""The ten-second answer: whether the best model beats what sees no brain."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd

from bidsclf.report import page
from bidsclf.report.page import is_control
from bidsclf.report.tables import best_model, pooled, select

LEVEL = 0.05  # of Holm's p for "clearly above a control", and of a permutation's


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


def judge(
    metrics: pd.DataFrame,
    comparisons: pd.DataFrame | None,
    *,
    failed: Mapping[str, str],
    scheme: str,
    permutations: pd.DataFrame | None = None,
) -> Verdict:
    """Compare the best model with every control and with chance.

    A model is better than a control when its AUC is larger and Holm's p of their
    difference by DeLong is below .05, and better than chance when the interval of
    its AUC lies above .5: a control that knows nothing often falls below .5. Where
    models were fitted again on labels permuted within site, the p of that has to
    be below .05 too. A control that failed leaves the question open. With a site
    left out, control-site knows nothing by construction and is not counted.

    Parameters
    ----------
    metrics, comparisons, permutations : DataFrame
        As in the tables of these names; None where there is none.
    failed : dict
        Models that failed, with the reason.
    scheme : {'kfold', 'loso', 'bootstrap'}
    """
    auc = pooled(metrics, "auc").dropna(subset="estimate")
    best = best_model(metrics)
    if best is None:
        broken = [model for model in failed if not is_control(model)]
        said = f"failed: {', '.join(broken)}" if broken else "none was asked for"
        return Verdict(f"No model of the brain was fitted ({said}).", "bad")
    models = auc[[not is_control(model) for model in auc.index]]
    headline = f"{best}: AUC {_interval(models.loc[best])}."
    asked = [m for m in (*auc.index, *failed) if is_control(m)]
    counted = [m for m in asked if (scheme, m) != ("loso", "control-site")]
    refit, lost = _refit(permutations, best), []
    if not models.loc[best, "low"] > 0.5:
        lost.append("chance (AUC .5)")
    if refit is not None and not refit["p"] < LEVEL:
        lost.append("labels permuted within site")
    answer, why = _against(best, counted, comparisons, failed, lost)
    sentences = [f"Better than every control: {answer}{why}"]
    if refit is not None:
        sentences.append(_refit_words(refit))
    sentences += _within(metrics, best)
    sentences += _cautions(models, auc.loc[[m for m in counted if m in auc.index]])
    return Verdict(headline, "good" if answer == "yes" else "bad", sentences)


def _interval(row: pd.Series) -> str:
    return page.interval(row["estimate"], row["low"], row["high"])


def _against(
    best: str,
    controls: list[str],
    comparisons: pd.DataFrame | None,
    failed: Mapping[str, str],
    lost: list[str],
) -> tuple[str, str]:
    """Return whether the best model beats every control, and the reason."""
    if not controls:
        return "unknown", ", since none was fitted."
    if comparisons is None:
        return "unknown", ", since models were not compared."
    gone = [control for control in controls if control in failed]
    here = [control for control in controls if control not in failed]
    delong = select(comparisons, test="delong", metric="auc")
    lost = [c for c in here if not _beats(delong, best, c)] + lost
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


def _refit(permutations: pd.DataFrame | None, best: str) -> pd.Series | None:
    if permutations is None:
        return None
    rows = select(permutations, null="refit", metric="auc", model=best)
    return None if rows.empty else rows.iloc[0]


def _refit_words(refit: pd.Series) -> str:
    return (
        f"Fitted again on {refit['n_permutations']:.0f} sets of labels permuted within"
        f" site, it reached AUC {refit['null_mean']:.2f} on average"
        f" (p = {page.p_value(refit['p'])})."
    )


def _within(metrics: pd.DataFrame, best: str) -> Iterator[str]:
    """Yield the AUC among people of one site, where it is known."""
    rows = select(metrics, scope="within site", metric="auc", model=best)
    rows = rows.dropna(subset="estimate")
    if rows.empty:
        return
    said = f"Among people of the same site its AUC is {_interval(rows.iloc[0])}"
    if rows.iloc[0]["low"] > 0.5:
        yield f"{said}."
    else:
        yield f"{said}: what it knows beyond the site is not clear."


def _cautions(models: pd.DataFrame, controls: pd.DataFrame) -> Iterator[str]:
    """Yield what keeps the headline from being read as more than it is."""
    knowing = controls.index[controls["low"] > 0.5]
    if len(knowing):
        named = _listed(f"{c} (AUC {controls.loc[c, 'estimate']:.2f})" for c in knowing)
        tells = "alone tells" if len(knowing) == 1 else "each alone tell"
        yield f"{named} {tells} the groups apart: part of the score may be that."
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
