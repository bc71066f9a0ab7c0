"""Which scans hold all that models take, where some do and others do not."""

from collections.abc import Collection

import pandas as pd

from bidsclf.files.choice import RUN
from bidsclf.files.inputs import LOADERS
from bidsclf.files.people import ID, listed

SHORT = {"session": "ses"}  # how names write it


def complete(
    files: pd.DataFrame, inputs: Collection[str]
) -> tuple[pd.DataFrame, dict[str, str], list[str]]:
    """Keep the scans that hold every input that some of these scans hold.

    Parameters
    ----------
    files : DataFrame
        One row a scan, of the people who are studied: participant_id, the entities
        of the run, and a column of paths by kind.
    inputs : collection of str
        What models take. One that no scan holds leaves nobody out: ``require`` says
        how to make it.

    Returns
    -------
    files : DataFrame
        Those that are kept.
    reasons : dict
        participant_id -> what is lacking, of each person with no scan left.
    notes : list of str
        What a reader should know of the scans that are not kept.
    """
    taken = [n for n in sorted({*inputs} & {*LOADERS}) if n in files]
    taken = [name for name in taken if files[name].notna().any()]
    lacks = files[taken].isna()
    is_kept = ~lacks.any(axis=1)
    if is_kept.all():
        return files, {}, []
    gone = ~files[ID].isin(files[ID][is_kept])
    by_person = lacks[gone].groupby(files[ID][gone]).any()
    reasons = {
        str(who): f"no scan with {', '.join(by_person.columns[row])}"
        for who, row in zip(by_person.index, by_person.to_numpy(), strict=True)
    }
    names = ", ".join(lacks.columns[lacks.any()])
    notes = []
    if reasons:
        notes.append(
            f"{len(reasons)} people are left out, who have no scan with {names}, which"
            f" other people have and a model takes: {listed(reasons)}. Run the"
            " participant level for them, or fit the models that do without it in an"
            " analysis of their own."
        )
    if (is_some := ~is_kept & ~gone).any():
        scans = files[is_some].apply(_name, axis=1)
        notes.append(
            f"{len(scans)} scans of people who have others are not used, since they"
            f" have no {names}, which a model takes: {listed(scans)}."
        )
    return files[is_kept], reasons, notes


def _name(scan: pd.Series) -> str:
    """Return the name of a scan: sub-01_run-2."""
    entities = [f"{SHORT.get(k, k)}-{scan[k]}" for k in RUN if scan.get(k)]
    return "_".join([scan[ID], *entities])
