"""People with their scans: who can be used, what they share, and why others not."""

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from bidsclf.cohort.table import Cohort
from bidsclf.errors import NothingMatched
from bidsclf.files.agreement import common_regions, how_made
from bidsclf.files.choice import scans_of
from bidsclf.files.complete import complete
from bidsclf.files.damage import damaged
from bidsclf.files.inputs import Scan, has_regions
from bidsclf.files.people import ID, listed


def join(
    people: pd.DataFrame,
    files: pd.DataFrame,
    reasons: dict[str, str],
    runs: str,
    chosen: dict[str, str],
    inputs: Collection[str] = (),
) -> Cohort:
    """Join people with their scans; ``reasons`` says who is out already."""
    absent = set(people[ID]) - set(files[ID])
    has_names = bool(set(people[ID]) & set(files[ID]))
    reasons = dict.fromkeys(absent, "no features among those chosen") | reasons
    files = files[~files[ID].isin(reasons)]
    _refuse_nobody(files, people, reasons, has_names)
    files, lacking, notes = complete(files, inputs)
    reasons |= lacking
    _refuse_nobody(files, people, reasons, has_names)
    broken = damaged(scans_of(files), inputs)
    reasons |= {files[ID].iloc[at]: reason for at, reason in broken.items()}
    files = files[~files[ID].isin(reasons)]
    _refuse_nobody(files, people, reasons, has_names)
    scans = scans_of(files)
    regions, is_missing = common_regions(scans, files[ID].tolist())
    made, grids, made_images = how_made(scans, files[ID].tolist())
    n_missing = _missing_of(scans, files[ID], is_missing)
    dead = n_missing.index[(n_missing == len(regions)) & bool(regions)]
    reasons |= dict.fromkeys(dead, "no region of the atlas is covered")
    files = files[~files[ID].isin(reasons)].reset_index(drop=True)
    _refuse_nobody(files, people, reasons, has_names)
    people = people[~people[ID].isin(reasons)].sort_values(ID, ignore_index=True)
    people["n_runs"] = people[ID].map(files[ID].value_counts())
    people["n_missing_regions"] = people[ID].map(n_missing)
    rows = np.arange(len(people))
    return Cohort(
        people=people,
        traits=people[["site"]],
        excluded=pd.DataFrame(sorted(reasons.items()), columns=[ID, "reason"]),
        rows=people[ID].searchsorted(files[ID]) if runs == "keep" else rows,
        labels={},
        files=files,
        regions=regions,
        source={**chosen, "preprocessing": made},
        notes=tuple(notes),
        grids=grids,
        made_images=made_images,
    )


def _missing_of(
    scans: Sequence[Scan], whose: pd.Series, is_missing: np.ndarray
) -> pd.Series:
    """Return how many regions a person lacks in all scans that have tables."""
    held = np.array([has_regions(scan) for scan in scans])
    n_missing = pd.DataFrame(is_missing[held], whose[held]).groupby(level=ID).all()
    return n_missing.sum(axis=1).reindex(whose.unique(), fill_value=0)


def _refuse_nobody(
    files: pd.DataFrame,
    people: pd.DataFrame,
    reasons: dict[str, str],
    has_names: bool,
) -> None:
    """Refuse to study nobody; where table and folders have names alike, say why."""
    if len(files):
        return
    why = Counter(reasons.values()).most_common()
    shown = "; ".join(f"{n}: {reason}" for reason, n in why)
    advice = (
        "Change the option that leaves them out, fill the cells of participants.tsv, or"
        " extract what is missing."
        if has_names
        else f"participants.tsv names {listed(people[ID], 3)}; do the folders sub-*"
        " have these names?"
    )
    raise NothingMatched(
        f"none of {len(reasons)} people can be used ({shown}). {advice}"
    )
