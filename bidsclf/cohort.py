"""Who is studied: people joined with their features, one row order for everything."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.config import CohortConfig
from bidsclf.errors import InputError, NothingMatched
from bidsclf.files import inputs
from bidsclf.files.agreement import (
    common_preprocessing,
    common_regions,
    differences,
)
from bidsclf.files.choice import choose_scans, scans_of
from bidsclf.files.people import (
    ID,
    TRAITS,
    column_of,
    listed,
    matching,
    phenotype,
    read_people,
    two_labels,
)
from bidsclf.options import did_you_mean

OURS = ("y", "label", "site", "n_runs", "n_missing_regions")
NO_SITE = "none"  # --site-column none: one site for all


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """People, what is predicted of them, and where their features are.

    Attributes
    ----------
    people : DataFrame
        One row a person, sorted by participant_id, index 0..n-1: participant_id,
        y (0 or 1; -1 where unknown), label, site, n_runs, n_missing_regions (no
        signal in any run), then the other columns of participants.tsv.
    excluded : DataFrame [participant_id, reason]
    rows : int array of shape (n_rows,)
        Person of each row of an input: the identity unless runs are kept apart.
    labels : dict
        ``{0: "control", 1: "autism"}``; empty for people to be predicted.
    files : DataFrame
        One row a scan: participant_id, run entities, paths by kind.
    regions : tuple of str
    source : dict
        atlas, desc, space and preprocessing of the features.
    """

    people: pd.DataFrame
    excluded: pd.DataFrame
    rows: np.ndarray
    labels: dict[int, str]
    files: pd.DataFrame
    regions: tuple[str, ...]
    source: dict[str, Any]

    def load(self, name: str) -> Any:
        """Read an input, its rows in the order of ``rows``.

        Parameters
        ----------
        name : str
            See ``Variant.input``.

        Returns
        -------
        list, array or DataFrame
            'timeseries': list of (n_volumes, n_regions) float32; 'fisherz',
            'partialcorrelation': float32 (n_rows, n_edges); 'covariance': float32
            (n_rows, n_regions, n_regions); 'phenotype', 'motion', 'site': tables,
            whose cells may be missing.

        Raises
        ------
        InputError
            A file is absent or damaged, or there is no such input; the message
            names people or files.
        """
        if name == "phenotype":
            ours = [name for name in OURS if name != "site"]
            return phenotype(self.people.iloc[self.rows].drop(columns=ours))
        if name == "site":
            return self.people.iloc[self.rows][["site"]].reset_index(drop=True)
        if name not in inputs.LOADERS:
            known = [*inputs.LOADERS, "phenotype", "site"]
            raise InputError(
                f"no input {name!r}; there are: {', '.join(known)}."
                f"{did_you_mean(name, known)}"
            )
        return inputs.LOADERS[name](self._scans(), self.regions)

    def describe(self, name: str) -> dict[str, Any]:
        """Return what an input is, as JSON values for a bundle."""
        n = len(self.regions)
        shapes: dict[str, list[int | None]] = {
            "timeseries": [None, n],
            "covariance": [n, n],
            "fisherz": [n * (n - 1) // 2],
            "partialcorrelation": [n * (n - 1) // 2],
        }
        if name not in shapes:
            return {"input": name}
        regions = {"shape": shapes[name], "regions": list(self.regions)}
        return {"input": name, **self.source, **regions}

    def check_like(self, described: dict[str, Any]) -> None:
        """Refuse a cohort whose features are not those a model was fitted on.

        Parameters
        ----------
        described : dict
            ``describe`` of the training cohort, from the bundle.

        Raises
        ------
        InputError
            The message lists what differs.
        """
        mine = self.describe(described["input"])
        differ = [
            f"{name} {str(described[name])[:60]} against {str(mine.get(name))[:60]}"
            for name in ("regions", "shape")
            if name in described and mine.get(name) != described[name]
        ]
        if "preprocessing" in described:
            made = mine.get("preprocessing", {})
            differ.append(differences(described["preprocessing"], made))
        if any(differ):
            raise InputError(
                "the model was fitted on other features than these:"
                f" {'; '.join(filter(None, differ))}."
                " Run the participant level with the settings of the model."
            )

    def table(self) -> pd.DataFrame:
        """Return cohort.tsv: everyone seen, included or not, and why not."""
        reasons = self.excluded.set_index(ID)["reason"]
        everyone = sorted({*self.people[ID], *reasons.index})
        table = self.people.set_index(ID).reindex(everyone)
        table.insert(
            0, "included", np.where(table.index.isin(reasons.index), "no", "yes")
        )
        table.insert(1, "reason", reasons.reindex(everyone))
        whole = dict.fromkeys(("y", "n_runs", "n_missing_regions"), "Int64")
        return table.astype(whole).reset_index()

    def _scans(self) -> inputs.Rows:
        scans = scans_of(self.files)
        if len(self.rows) == len(scans):
            return [[scan] for scan in scans]
        of = self.files.groupby(ID).indices
        return [[scans[at] for at in of[person]] for person in self.people[ID]]


def build_cohort(out: Path, config: CohortConfig) -> Cohort:
    """Join the features in ``out``, the root of seam 1, with its participants.tsv.

    Returns
    -------
    Cohort
        People in the order of their participant_id, whatever the order of files.

    Raises
    ------
    ConfigError
        A column or value is not there, or a choice is open.
    NothingMatched
        Nobody has both features and a target; the message says why.
    InputError
        participants.tsv or the features are not one study: duplicate rows, one
        class, other regions or preprocessing.
    """
    people = read_people(out, [config.target, config.site_column, *TRAITS["sex"]])
    label = column_of(people, config.target, "--target")
    site = pd.Series("all", people.index)
    if config.site_column != NO_SITE or NO_SITE in people:
        site = column_of(people, config.site_column, "--site-column")
    blank = {config.target: label.isna(), config.site_column: site.isna()}
    reasons = {
        person: f"no {column} in participants.tsv"
        for column, is_blank in reversed(blank.items())
        for person in people[ID][is_blank]
    }
    others = people[ID][~matching(people, config.include)]
    reasons |= dict.fromkeys(others, f"not in --include {config.include}")
    files, chosen = choose_scans(out, config)
    strangers = set(files[ID]) - set(people[ID])
    reasons |= dict.fromkeys(strangers, "no row in participants.tsv")
    drop = {config.target, config.site_column} & set(OURS) & set(people)
    people = _with_ours(people.drop(columns=drop), label, site)
    cohort = _join(people, files, reasons, config.runs, chosen)
    labels = two_labels(cohort.people["label"], config.target, config.positive_label)
    y = (cohort.people["label"] == labels[1]).astype(int)
    return replace(cohort, labels=labels, people=cohort.people.assign(y=y))


def load_people(out: Path, config: CohortConfig) -> Cohort:
    """Gather people to be predicted: no target, and participants.tsv if there is one.

    Parameters
    ----------
    out : Path
        Root of seam 1.
    config : CohortConfig
        Its target is not read; its site column is where it is there.

    Returns
    -------
    Cohort
        As of ``build_cohort``, with ``y`` -1 and no labels.

    Raises
    ------
    ConfigError, NothingMatched, InputError
        As ``build_cohort``.
    """
    files, chosen = choose_scans(out, config)
    people = files[[ID]].drop_duplicates()
    if (out / "participants.tsv").exists():
        known = read_people(out, [config.site_column, *TRAITS["sex"]])
        people = people.merge(known, how="outer", on=ID)
    unknown = pd.Series(None, people.index, dtype=object)
    site = people.get(config.site_column, unknown)
    people = people.drop(columns={config.site_column} & set(OURS) & set(people))
    people = _with_ours(people, unknown, site)
    return _join(people, files, {}, config.runs, chosen)


def _with_ours(people: pd.DataFrame, label: pd.Series, site: pd.Series) -> pd.DataFrame:
    """Put our columns first; a column of the same name keeps another one."""
    others = people.rename(columns={name: f"participants_{name}" for name in OURS})
    ours = {"y": -1, "label": label, "site": site, "n_runs": 0, "n_missing_regions": 0}
    for at, (name, values) in enumerate(ours.items(), start=1):
        others.insert(at, name, values)
    return others


def _join(
    people: pd.DataFrame,
    files: pd.DataFrame,
    reasons: dict[str, str],
    runs: str,
    chosen: dict[str, str],
) -> Cohort:
    """Join people with their scans; ``reasons`` says who is out already."""
    absent = set(people[ID]) - set(files[ID])
    reasons = dict.fromkeys(absent, "no features among those chosen") | reasons
    files = files[~files[ID].isin(reasons)]
    _refuse_nobody(files, people, reasons)
    scans = scans_of(files)
    regions, is_missing = common_regions(scans, files[ID].tolist())
    preprocessing = common_preprocessing(scans, files[ID].tolist())
    by_person = pd.DataFrame(is_missing, files[ID]).groupby(level=ID)
    n_missing = by_person.all().sum(axis=1)
    dead = n_missing.index[n_missing == len(regions)]
    reasons |= dict.fromkeys(dead, "no region of the atlas is covered")
    files = files[~files[ID].isin(reasons)].reset_index(drop=True)
    _refuse_nobody(files, people, reasons)
    people = people[~people[ID].isin(reasons)].sort_values(ID, ignore_index=True)
    people["n_runs"] = people[ID].map(files[ID].value_counts())
    people["n_missing_regions"] = people[ID].map(n_missing)
    rows = np.arange(len(people))
    return Cohort(
        people=people,
        excluded=pd.DataFrame(sorted(reasons.items()), columns=[ID, "reason"]),
        rows=people[ID].searchsorted(files[ID]) if runs == "keep" else rows,
        labels={},
        files=files,
        regions=regions,
        source={**chosen, "preprocessing": preprocessing},
    )


def _refuse_nobody(
    files: pd.DataFrame, people: pd.DataFrame, reasons: dict[str, str]
) -> None:
    if files.empty:
        why = Counter(reasons.values()).most_common()
        shown = "; ".join(f"{n}: {reason}" for reason, n in why)
        raise NothingMatched(
            f"none of {len(reasons)} people can be used ({shown}). participants.tsv"
            f" names {listed(people[ID], 3)}; do the folders sub-* have these names?"
        )
