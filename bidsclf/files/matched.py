"""One control a patient, of the same site and the nearest age."""

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from bidsclf.errors import InputError
from bidsclf.files.people import ID, trait_of

TIE = 1e-6  # years; makes equal distances go to the first participant_id; ours


def unmatched(people: pd.DataFrame) -> dict[str, str]:
    """Return who is left out so that patients and controls are pairs within site.

    Parameters
    ----------
    people : DataFrame of shape (n_people, ...)
        participant_id, y (1 for patients), site and a column of age, in years,
        found without regard to case.

    Returns
    -------
    reasons : dict
        participant_id -> why. Within a site the pairs have the smallest sum of
        differences in age that there is; of equal ones, those of the people who
        come first by participant_id. People without an age are in no pair.

    Raises
    ------
    InputError
        There is no column of age, or no site has a pair.

    References
    ----------
    Crouse (2016), IEEE Trans Aerosp Electron Syst 52(4), 1679-1696,
    doi:10.1109/TAES.2016.140952 (the assignment of scipy).
    """
    age = trait_of(people, "age")
    if age is None:
        raise InputError(
            "participants.tsv has no column age, which --match needs; there are:"
            f" {', '.join(people)}. Add it or drop --match."
        )
    table = people[[ID, "y", "site"]].assign(age=pd.to_numeric(age, errors="coerce"))
    has_age = np.isfinite(table["age"])
    reasons = dict.fromkeys(table.loc[~has_age, ID], "no age, which --match needs")
    table = table[has_age].sort_values(ID)
    for site, there in table.groupby("site"):
        patients, controls = there[there["y"] == 1], there[there["y"] == 0]
        kept = {*_nearest(patients["age"], controls["age"])}
        for kind, members, others in (
            ("patient", patients, "controls"),
            ("control", controls, "patients"),
        ):
            lone = members.loc[~members.index.isin(kept), ID]
            why = f"has fewer {others} than {kind}s; the others are nearer in age"
            why = why if kept else f"has no {others}"
            reasons |= dict.fromkeys(lone, f"--match: {site} {why}")
    if len(reasons) == len(people):
        raise InputError(
            f"--match found no pair: none of {len(people)} people has somebody of the"
            " other class at the same site, both with an age. Drop --match."
        )
    return reasons


def _nearest(patients: pd.Series, controls: pd.Series) -> pd.Index:
    """Return the index of everyone in a pair; both sorted by participant_id."""
    apart = np.abs(patients.to_numpy()[:, None] - controls.to_numpy()[None])
    late = np.arange(len(patients))[:, None] + np.arange(len(controls))[None]
    rows, columns = linear_sum_assignment(apart + TIE * late / max(1, late.size))
    return patients.index[rows].append(controls.index[columns])
