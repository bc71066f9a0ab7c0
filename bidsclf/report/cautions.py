"""What keeps the headline from being read as more than it is."""

from collections.abc import Iterator, Sequence

import numpy as np

from bidsclf.report.page import is_control
from bidsclf.report.tables import Analysis, pooled, select, split_values

LEVEL = 0.05  # of Holm's p of a correlation with motion
LEAST_R = 0.2  # given the diagnosis; below it motion explains under 4 %; ours


def cautions(analysis: Analysis, best: str, controls: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each reason to doubt the best model's figure.

    Parameters
    ----------
    analysis : Analysis
    best : str
    controls : sequence of str
        Those that were fitted and could know something.
    """
    auc = pooled(analysis.metrics, "auc").dropna(subset="estimate")
    yield from _averaged(analysis, best)
    yield from _motion(analysis, best)
    knowing = [name for name in controls if auc.loc[name, "low"] > 0.5]
    if knowing:
        named = " and ".join(
            f"{name} (AUC {auc.loc[name, 'estimate']:.2f})" for name in knowing
        )
        tells = "alone tells" if len(knowing) == 1 else "each alone tell"
        yield f"{named} {tells} the groups apart: part of the score may be that."
    models = auc[[not is_control(model) for model in auc.index]]
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
    twice = [note for note in analysis.notes if note.startswith("identical features")]
    if len(twice) == 1:
        yield twice[0][:1].upper() + twice[0][1:]
    elif twice:
        yield (
            f"{len(twice)} groups of people have identical features, as if one scan was"
            " given twice: the notes of the run name them."
        )


def _averaged(analysis: Analysis, best: str) -> Iterator[str]:
    """Yield what one model alone reaches, where the score is a mean of several."""
    values = np.array(split_values(analysis.metrics, "auc").get(best, []), float)
    values = values[np.isfinite(values)]
    if analysis.n_repeats > 1 and values.size:
        yield (
            f"Its AUC is of the mean score of the {analysis.times} models that tested a"
            f" person; one model alone, as the final one is, has"
            f" {values.mean():.2f} on average over splits."
        )


def _motion(analysis: Analysis, best: str) -> Iterator[str]:
    """Yield that the score goes with head motion, where it clearly does."""
    table = analysis.table("confounds")
    if table is None or "r_given_truth" not in table:
        return
    for row in select(table, model=best, confound="mean_fd").to_dict("records"):
        r = float(row["r_given_truth"])
        if row["p_holm"] < LEVEL and abs(r) > LEAST_R:
            yield f"Its score goes with head motion (r = {r:.2f} given the diagnosis)."
