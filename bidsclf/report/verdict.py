"""The ten-second answer: whether the best model beats what sees no brain."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd

from bidsclf.report import page
from bidsclf.report.cautions import cautions
from bidsclf.report.page import is_control
from bidsclf.report.tables import Analysis, best_model, pooled, select

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


def judge(analysis: Analysis) -> Verdict:
    """Compare the best model with every control, with chance and with permutations.

    Each question has its own answer. A model is better than a control when its
    AUC is larger and Holm's p of their difference by DeLong is below .05; better
    than chance when the interval of its AUC lies above .5, since a control that
    knows nothing often falls below; better than on permuted labels when the p of
    refits is below .05. Where so few were made that no p could be, that question
    stays open. A control that failed leaves the first one open. With a site left
    out, control-site knows nothing by construction and is not counted. The mood
    is good when the first two answers are yes and the third is not no.
    """
    auc = pooled(analysis.metrics, "auc").dropna(subset="estimate")
    failed, best = analysis.about["failed"], best_model(analysis.metrics)
    if best is None:
        broken = [model for model in failed if not is_control(model)]
        said = f"failed: {', '.join(broken)}" if broken else "none was asked for"
        return Verdict(f"No model of the brain was fitted ({said}).", "bad")
    asked = [m for m in (*auc.index, *failed) if is_control(m)]
    is_loso = analysis.part("folds")["scheme"] == "loso"
    counted = [m for m in asked if not (is_loso and m == "control-site")]
    answer, why = _against(analysis, best, counted, asked)
    is_above = bool(auc.loc[best, "low"] > 0.5)
    chance = "yes." if is_above else "no; the interval of its AUC reaches .5."
    refit = _refit(analysis, best)
    sentences = [
        f"Better than every control: {answer}{why}",
        f"Better than chance: {chance}",
        *([] if refit is None else [_refit_words(analysis, refit)]),
        *_within(analysis.metrics, best),
        *cautions(analysis, best, [m for m in counted if m in auc.index]),
    ]
    is_good = answer == "yes" and is_above
    is_good &= refit is None or _refit_answer(refit) != "no"
    headline = f"{best}: AUC {_interval(auc.loc[best])}."
    return Verdict(headline, "good" if is_good else "bad", sentences)


def _interval(row: pd.Series) -> str:
    return page.interval(row["estimate"], row["low"], row["high"])


def _against(
    analysis: Analysis, best: str, counted: Sequence[str], asked: Sequence[str]
) -> tuple[str, str]:
    """Return whether the best model beats every control, and the reason."""
    comparisons, failed = analysis.table("comparisons"), analysis.about["failed"]
    if not counted:
        only = "only control-site was, which knows nothing of a site left out"
        return "unknown", f", since {only if asked else 'none was fitted'}."
    if comparisons is None:
        return "unknown", ", since models were not compared."
    delong = select(comparisons, test="delong", metric="auc")
    here = [control for control in counted if control not in failed]
    lost = [control for control in here if not _beats(delong, best, control)]
    if lost:
        return "no", f"; not clearly above {', '.join(lost)}."
    gone = [control for control in counted if control in failed]
    if gone:
        return "unknown", f", since {', '.join(gone)} failed."
    return "yes", f" ({', '.join(counted)}; Holm's p < .05)."


def _beats(comparisons: pd.DataFrame, model: str, control: str) -> bool:
    forth = comparisons.query("model_a == @model and model_b == @control")
    back = comparisons.query("model_a == @control and model_b == @model")
    above = [*forth["difference"], *(-back["difference"])]
    p = [*forth["p_holm"], *back["p_holm"]]
    return bool(p) and min(above) > 0 and max(p) < LEVEL


def _refit(analysis: Analysis, best: str) -> pd.Series | None:
    table = analysis.table("permutations")
    if table is None:
        return None
    rows = select(table, null="refit", metric="auc", model=best)
    return None if rows.empty else rows.iloc[0]


def _refit_answer(refit: pd.Series) -> str:
    """Return yes, no, or unknown where no p of so many permutations is below .05."""
    if refit["p"] < LEVEL:
        return "yes"
    return "no" if page.smallest_p(refit["n_permutations"]) < LEVEL else "unknown"


def _refit_words(analysis: Analysis, refit: pd.Series) -> str:
    n, answer = int(refit["n_permutations"]), _refit_answer(refit)
    least = page.smallest_p(n)
    p = page.p_words(refit["p"])
    if answer == "unknown":
        why = (
            f", since {n} permutations cannot give p below {page.p_value(least)} ({p})"
        )
    elif refit["p"] < 1.0001 * least:
        why = f" ({p}, the smallest that {n} permutations can give)"
    else:
        why = f" ({p}, {n} permutations)"
    of = f" ({analysis.unit} 1 alone)" if analysis.n_repeats > 1 else ""
    return (
        f"Better than on labels permuted within site: {answer}{why}. Fitted again on"
        f" those it reached AUC {refit['null_mean']:.2f} on average, on the true ones"
        f" {refit['observed']:.2f} {of}."
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
