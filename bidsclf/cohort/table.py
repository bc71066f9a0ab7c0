"""Who is studied: people joined with their features, one row order for everything."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.errors import InputError
from bidsclf.files import inputs
from bidsclf.files.agreement import differences
from bidsclf.files.choice import GRID, OF_MAPS, scans_of
from bidsclf.files.images import AXES, GREY, LIKE_MM, VOLUME, Grid, seconds_between
from bidsclf.files.people import ID, phenotype
from bidsclf.files.resampling import counted, repetition_time
from bidsclf.options import did_you_mean

SHARED = ("regions", "shape", "affine")  # of a description, with a model's people
IMAGED = {  # of an image: what is said of it, and under which name of ``source``
    VOLUME: {name: name for name in ("desc", "space", "res", GRID)},
    GREY: {name.removeprefix("gm_"): name for name in OF_MAPS},
}
OURS = ("y", "label", "site", "group", "n_runs", "n_missing_regions")


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """People, what is predicted of them, and where their features are.

    Attributes
    ----------
    people : DataFrame
        One row a person, sorted by participant_id, index 0..n-1: participant_id,
        y (0 or 1; -1 where unknown), label, site, n_runs, n_missing_regions (no
        signal in any run), group (only with --group-column), then the other
        columns of participants.tsv.
    traits : DataFrame of shape (n_people, 1 + n_covariates + ...)
        In the order of ``people``: 'site', each covariate (float64, or text
        where a cell is no number; NaN where missing), and with --group-column
        'group', one whole number a family.
    excluded : DataFrame [participant_id, reason]
    rows : int array of shape (n_rows,)
        Person of each row of an input: the identity unless runs are kept apart.
    labels : dict
        ``{0: "control", 1: "autism"}``; empty for people to be predicted.
    files : DataFrame
        One row a scan: participant_id, run entities, paths by kind.
    regions : tuple of str
    source : dict
        atlas, desc, space and preprocessing of the features; gm_desc, gm_space and
        gm_res of maps.
    notes : tuple of str
        What a reader should know of the scans and of the covariates.
    resample_tr_s : float or None
        Repetition time in seconds that series are brought to when they are read.
    grids : dict
        'volume' and 'graymatter' -> the grid of all, where there are some.
    made_images : dict
        By kind, how they were made, from their sidecars.
    """

    people: pd.DataFrame
    traits: pd.DataFrame
    excluded: pd.DataFrame
    rows: np.ndarray
    labels: dict[int, str]
    files: pd.DataFrame
    regions: tuple[str, ...]
    source: dict[str, Any]
    notes: tuple[str, ...] = ()
    resample_tr_s: float | None = None
    grids: dict[str, Grid] = field(default_factory=dict)
    made_images: dict[str, dict[str, Any]] = field(default_factory=dict)

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
            (n_rows, n_regions, n_regions); 'volume': a sequence of (n_volumes, X, Y,
            Z) float32, each read when it is asked for; 'graymatter': as that, of (1,
            X, Y, Z), the mean of a row's maps; 'phenotype', 'motion', 'site': tables,
            whose cells may be missing.

        Raises
        ------
        InputError
            A file is absent or damaged, or there is no such input; the message
            names people or files.
        """
        if name == "phenotype":
            ours = [name for name in OURS if name in self.people and name != "site"]
            return phenotype(self.people.iloc[self.rows].drop(columns=ours))
        if name == "site":
            return self.people.iloc[self.rows][["site"]].reset_index(drop=True)
        if name not in inputs.LOADERS:
            known = [*inputs.LOADERS, "phenotype", "site"]
            raise InputError(
                f"no input {name!r}; there are: {', '.join(known)}."
                f"{did_you_mean(name, known)}"
            )
        if name == "timeseries":
            return inputs.series(self._scans(), self.regions, self.resample_tr_s)
        return inputs.LOADERS[name](self._scans(), self.regions)

    def paths(self) -> list[Path]:
        """Return every file of ``files``, column by column."""
        columns = (self.files[name] for name in self.files)
        return [one for column in columns for one in column if isinstance(one, Path)]

    def lengths(self, name: str = "timeseries") -> np.ndarray:
        """Return the volumes of each row of series or images: int (n_rows,).

        Raises
        ------
        InputError
            As ``load``, where a run is absent or cannot be resampled.
        """
        if name in AXES:
            return np.array([shape[0] for shape in self.load(name).shapes], int)
        return inputs.lengths(self._scans(), self.resample_tr_s)

    def repetition_times(self, name: str = "timeseries") -> list[float | None]:
        """Return the seconds between two volumes of each scan, in the order of files.

        Of the series, or of images. None where there is no such file or the JSON
        file beside it does not say it, as of maps.
        """
        said = seconds_between if name in AXES else repetition_time
        found = [scan.get(name) for scan in scans_of(self.files)]
        return [None if path is None else said(path) for path in found]

    def describe(self, name: str) -> dict[str, Any]:
        """Return what an input is, as JSON values for a bundle."""
        if name in AXES:
            return self._describe_images(name)
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
        clock: dict[str, Any] = {}
        if name == "timeseries" and self.resample_tr_s is not None:
            clock = {"resample_tr_s": self.resample_tr_s}
        elif name == "timeseries":
            clock = {"repetition_times_s": [*counted(self.repetition_times())]}
        source = {k: v for k, v in self.source.items() if k not in (GRID, *OF_MAPS)}
        return {"input": name, **source, **regions, **clock}

    def _describe_images(self, kind: str) -> dict[str, Any]:
        said, known = IMAGED[kind], self.source
        about = {name: known[key] for name, key in said.items() if key in known}
        about |= {"input": kind, "preprocessing": self.made_images.get(kind, {})}
        if grid := self.grids.get(kind):
            about["shape"] = [None if kind == VOLUME else 1, *grid.shape]
            about["affine"] = grid.affine.tolist()
        if kind == VOLUME:
            about["repetition_times_s"] = [*counted(self.repetition_times(kind))]
        return about

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
            for name in (*SHARED, *(("space",) if mine["input"] == GREY else ()))
            if name in described
            and not _is_alike(name, mine.get(name), described[name])
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

    def without(self, reasons: Mapping[str, str]) -> "Cohort":
        """Return the cohort without some people, and why they are not in it."""
        keep = ~self.people[ID].isin(reasons)
        people = self.people[keep].reset_index(drop=True)
        files = self.files[~self.files[ID].isin(reasons)].reset_index(drop=True)
        left = pd.DataFrame(reasons.items(), columns=[ID, "reason"])
        excluded = pd.concat([self.excluded, left]).sort_values(ID, ignore_index=True)
        is_kept_apart = len(self.rows) == len(self.files)
        rows = people[ID].searchsorted(files[ID])
        return replace(
            self,
            people=people,
            traits=self.traits[keep].reset_index(drop=True),
            excluded=excluded,
            rows=rows if is_kept_apart else np.arange(len(people)),
            files=files,
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


def _is_alike(name: str, mine: Any, described: Any) -> bool:
    """Tell whether two descriptions agree; numbers of an affine are in mm."""
    if mine == described or mine is None:
        return bool(mine == described)
    return name == "affine" and bool(np.allclose(mine, described, atol=LIKE_MM))
