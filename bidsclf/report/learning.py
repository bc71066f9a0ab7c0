"""The section on training: curves over epochs, and what in them is to worry about."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.report import figures, page
from bidsclf.report.tables import Analysis, networks

FIT = ["repeat", "fold", "member"]  # one training
NAMES = {"auc": "AUC"}
LAST = "last"  # monitor of a network of which every epoch is run
SIDES = {"train": "training", "valid": "validation"}
BAND = (10, 90)  # percentiles of the fits
RISEN = 0.05  # above the lowest validation loss, as a share of it, worth a word; ours
GAP = 0.15  # of accuracy, between training and validation, worth a word; ours
IDLE = 0.55  # training accuracy below which little was learned; ours


def learning(analysis: Analysis) -> list[dict[str, Any]] | None:
    """Return each network's curves and sentences; None without learning.tsv."""
    table = analysis.table("learning")
    if table is None:
        return None
    table = table.dropna(subset=["model", "measure", "epoch"])
    known = {name: pd.to_numeric(table.get(name, 0), errors="coerce") for name in FIT}
    table = table.assign(**known).fillna(dict.fromkeys(FIT, 0))
    told = []
    for model, rows in table.groupby("model", sort=False):
        name = str(model)
        panels = {measure: _courses(rows, measure) for measure in _measures(rows)}
        panels = {NAMES.get(k, k): courses for k, courses in panels.items() if courses}
        if not panels:
            continue
        kept = _kept(rows)["epoch"].to_numpy(float)
        told.append(
            {
                "model": name,
                "figure": figures.learning(panels, kept, name),
                "sentences": [*_how(analysis, name, rows), *_worries(rows)],
            }
        )
    return told or None


def _measures(rows: pd.DataFrame) -> list[str]:
    """Return the measures: the loss and its parts, then accuracy and AUC."""
    found = [str(name) for name in dict.fromkeys(rows["measure"])]
    ends = [name for name in ("accuracy", "auc") if name in found]
    first = [name for name in found if name == "loss"]
    parts = [name for name in found if name not in {*first, *ends}]
    if len(parts) == 1 and _is_the_loss(rows, parts[0]):
        parts = []
    return [*first, *parts, *ends]


def _is_the_loss(rows: pd.DataFrame, part: str) -> bool:
    """Tell whether a part is all of the loss."""
    one, other = (
        rows.loc[rows["measure"] == name, ["train", "valid"]].to_numpy()
        for name in ("loss", part)
    )
    return one.shape == other.shape and np.allclose(one, other, equal_nan=True)


def _courses(rows: pd.DataFrame, measure: str) -> dict[str, figures.Course]:
    """Return training and validation over the epochs that half of the fits ran."""
    rows = rows[rows["measure"] == measure]
    n_fits, found = len(rows.groupby(FIT)), {}
    for column, name in SIDES.items():
        wide = rows.pivot_table(index="epoch", columns=FIT, values=column)
        wide = wide[wide.notna().sum(axis=1) >= n_fits / 2]
        if wide.empty:
            continue
        low, high = np.nanpercentile(wide, BAND, axis=1)
        mean = wide.mean(axis=1).to_numpy()
        found[name] = figures.Course(wide.index.to_numpy(float), mean, low, high)
    return found


def _kept(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a line a fit: the epoch whose weights it kept."""
    return rows[rows["kept"] == 1].drop_duplicates(FIT)


def _how(analysis: Analysis, model: str, rows: pd.DataFrame) -> Iterator[str]:
    """Yield how the training ended, and which epochs were kept."""
    kept, n_fits = _kept(rows)["epoch"], len(rows.groupby(FIT))
    ends = rows.groupby(FIT)["epoch"].max()
    fits = "The fit" if n_fits == 1 else f"All {n_fits} fits"
    rule = monitor_of(analysis, model)
    if rule == LAST:
        yield (
            f"{fits} ran all {_range(ends)} epochs: nothing stopped training early,"
            " and the weights of the last epoch are kept (monitor: last)."
        )
        return
    if kept.empty:
        yield "The epochs that were kept are not recorded."
        return
    measure = "a measure that is not recorded" if rule is None else _named(rule)
    words = f"{_range(kept)} of {_range(ends)} run"
    middle = f", the median {kept.median():g}" if n_fits > 1 else ""
    yield f"Training kept the epoch that was best by {measure}: {words}{middle}."
    limit = settings_of(analysis, model).get("n_epochs")
    at_limit = int((ends == limit).sum())
    if at_limit:
        yield f"{at_limit} of {n_fits} fits ran into the limit of {limit} epochs."


def _named(rule: str) -> str:
    names = {"loss": "the loss", "auc": "the AUC", "accuracy": "the accuracy"}
    return f"{names.get(rule, f'the {rule} part of the loss')} in the validation part"


def monitor_of(analysis: Analysis, model: str) -> str | None:
    """Return the measure that ruled the end of training, if it is recorded."""
    fits = [n for n in analysis.about.get("notes", []) if n["model"] == model]
    told = [one for fit in fits for one in networks(fit["notes"])]
    found = [one["monitor"] for one in told if one.get("monitor")]
    found.append(settings_of(analysis, model).get("monitor"))
    return None if found[0] is None else str(found[0])


def settings_of(analysis: Analysis, model: str) -> dict[str, Any]:
    """Return the settings a model ran with; empty in an older analysis."""
    return dict(analysis.about.get("model_settings", {}).get(model, {}))


def _worries(rows: pd.DataFrame) -> Iterator[str]:
    """Yield what in the curves is to worry about, or that nothing is."""
    said = [*_rising(rows), *_gap(rows)]
    yield from said or ["Nothing in these curves is out of the ordinary."]


def _rising(rows: pd.DataFrame) -> Iterator[str]:
    """Yield what the validation loss does: each part of it that tells classes."""
    names = _measures(rows)
    measure = "discriminative" if "discriminative" in names else "loss"
    words = f"{measure} loss" if measure != "loss" else "loss"
    fits = [
        fit.set_index("epoch")["valid"].dropna().sort_index()
        for _, fit in rows[rows["measure"] == measure].groupby(FIT)
    ]
    fits = [fit for fit in fits if len(fit) > 1]
    if not fits:
        yield f"The validation {words} is not known, so overfitting cannot be judged."
        return
    n, lowest = len(fits), np.array([fit.idxmin() for fit in fits])
    first = sum(fit.index[0] == at for fit, at in zip(fits, lowest, strict=True))
    last = sum(fit.index[-1] == at for fit, at in zip(fits, lowest, strict=True))
    rises = [fit.iloc[-1] / fit.min() - 1 for fit in fits if fit.min() > 0]
    rise = np.median(rises or [0])  # of a loss below 0 there is no share
    if first > n / 2:
        yield (
            f"Look twice: in {first} of {n} fits the validation {words} was lowest at"
            " the first epoch. By that measure nothing learned later holds outside the"
            " training people."
        )
    elif last > n / 2:
        yield (
            f"In {last} of {n} fits the validation {words} was still at its lowest at"
            " the last epoch: more epochs might do better."
        )
    elif rise > RISEN:
        yield (
            f"The validation {words} is lowest at epoch {np.median(lowest):g} (median"
            f" of {n} fits) and ends {rise:.0%} above that: by that measure, what is"
            " learned later does not hold outside the training people."
        )


def _gap(rows: pd.DataFrame) -> Iterator[str]:
    """Yield accuracies at the epochs kept, where they are far apart or at chance."""
    at = _kept(rows[rows["measure"] == "accuracy"])
    train, valid = at["train"].mean(), at["valid"].mean()
    if train < IDLE:
        yield (
            f"At the epochs kept the training accuracy is {train:.2f}: little was"
            " learned even of the training people."
        )
    elif train - valid > GAP:
        yield (
            f"At the epochs kept accuracy is {train:.2f} in training and {valid:.2f} in"
            " validation: part of what was learned are the training people themselves."
        )


def _range(values: pd.Series) -> str:
    """Return ``25``, or ``3 to 25``."""
    least, most = int(values.min()), int(values.max())
    return page.text(most) if least == most else f"{least} to {most}"
