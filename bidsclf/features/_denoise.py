"""What is removed from the signals of a scan: regressors and volumes."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nilearn.interfaces.fmriprep import load_confounds_strategy

from bidsclf.config import DenoiseConfig
from bidsclf.errors import InputError
from bidsclf.features._strategy import (
    FD,
    Strategy,
    load_strategy,
    strategy_names,
)
from bidsclf.options import did_you_mean
from bidsclf.scan import Scan

DVARS = "dvars"
DUMMY = "non_steady_state"  # fMRIPrep's spike columns of the first volumes
SPIKES = (DUMMY, "motion_outlier")  # columns that censor rather than regress
MIN_VOLUMES = 3  # a correlation needs as many


@dataclass(frozen=True, slots=True, kw_only=True)
class Confounds:
    """What is removed from a scan.

    Attributes
    ----------
    strategy : str
        Name of the strategy.
    meta : dict
        What the sidecars say of it: its digest and the thresholds in force.
    regressors : DataFrame of n_volumes rows, or None
        Every regressor, at every volume; finite at the volumes kept.
    sample_mask : int array of shape (n_kept,)
        The volumes kept, ascending.
    n_volumes : int
    columns : tuple of str
        Names of the regressors.
    fd, dvars : float array of shape (n_volumes,)
        Framewise displacement in mm and DVARS; NaN where the table has none.
    dummy_scans : int
        Volumes dropped as not yet in a steady state.
    """

    strategy: str
    meta: dict[str, Any] = field(default_factory=dict)
    regressors: pd.DataFrame | None
    sample_mask: np.ndarray
    n_volumes: int
    columns: tuple[str, ...]
    fd: np.ndarray
    dvars: np.ndarray
    dummy_scans: int

    @property
    def kept(self) -> np.ndarray:
        """Whether each volume is kept, bool of shape (n_volumes,)."""
        return np.isin(np.arange(self.n_volumes), self.sample_mask)


def load_confounds(scan: Scan, config: DenoiseConfig, n_volumes: int) -> Confounds:
    """Choose the regressors and the volumes kept, as ``config.strategy`` says.

    Named strategies are nilearn's ``load_confounds_strategy`` on exactly
    ``scan.confounds``. Volumes are censored that fMRIPrep flagged as not in a
    steady state (or the first ``dummy_scans``), that the strategy scrubs, and
    whose framewise displacement is above ``fd_thresh_mm``.

    Parameters
    ----------
    scan : Scan
    config : DenoiseConfig
    n_volumes : int
        Volumes of the image, which the table must match.

    Raises
    ------
    InputError
        If the table is absent, lacks a column, has another number of rows or a
        value that is not a number, or if too few volumes are left; the message
        gives the file and the columns.
    """
    strategy = load_strategy(config.strategy)
    table = _read(scan, strategy, n_volumes)
    spikes = [c for c in table.columns if DUMMY in c]
    if config.dummy_scans is not None:
        table = table.drop(columns=spikes)
    _check_columns(scan, strategy, table, config)
    if strategy.preset:
        regressors, kept = _preset(scan, strategy, table, config)
    else:
        regressors, kept = _picked(strategy, table)
    fd = table[FD].to_numpy(float) if FD in table else np.full(n_volumes, np.nan)
    dvars = table[DVARS].to_numpy(float) if DVARS in table else np.full_like(fd, np.nan)
    dummy_scans = config.dummy_scans
    if dummy_scans is None:
        dummy_scans = int(table[spikes].to_numpy().any(axis=1).sum())
    else:
        dummy_scans = min(dummy_scans, n_volumes)
        kept[:dummy_scans] = False
    if config.fd_thresh_mm is not None:
        kept &= ~(fd > config.fd_thresh_mm)  # the first volume's FD is NaN: kept
    _check_left(scan, config, kept, dummy_scans)
    _check_finite(scan, regressors, kept)
    return Confounds(
        strategy=strategy.name,
        meta={
            "StrategyDigest": strategy.digest,
            **strategy.censoring(config.fd_thresh_mm),
        },
        regressors=regressors if len(regressors.columns) else None,
        sample_mask=np.flatnonzero(kept),
        n_volumes=n_volumes,
        columns=tuple(regressors.columns),
        fd=fd,
        dvars=dvars,
        dummy_scans=dummy_scans,
    )


def _read(scan: Scan, strategy: Strategy, n_volumes: int) -> pd.DataFrame:
    path = scan.confounds
    if path is None and not strategy.preset and not strategy.columns:
        return pd.DataFrame(index=range(n_volumes))
    if path is None or not path.is_file():
        raise InputError(
            f"{path or scan.bold}: no confounds table"
            f"{'' if path else ' was found for it'}; --denoise-strategy"
            f" {strategy.name} needs fMRIPrep's *_desc-confounds_timeseries.tsv."
            " Copy it from fMRIPrep's output, or give a JSON file"
            ' {"columns": []} to remove nothing.'
        )
    try:
        table = pd.read_csv(path, sep="\t", encoding="utf-8-sig")
    except (ValueError, OSError) as error:  # UnicodeDecodeError is a ValueError
        raise InputError(
            f"{path}: not a readable table ({error}). It is UTF-8, tab-separated,"
            " with a header line; copy it again from fMRIPrep's output."
        ) from error
    if len(table) != n_volumes:
        raise InputError(
            f"{path}: {len(table)} rows, but {scan.bold.name} has {n_volumes}"
            " volumes; there is one row a volume. Take both from the same"
            " fMRIPrep run."
        )
    return table.apply(pd.to_numeric, errors="coerce").replace(
        [np.inf, -np.inf], np.nan
    )


def _check_columns(
    scan: Scan, strategy: Strategy, table: pd.DataFrame, config: DenoiseConfig
) -> None:
    present = list(table.columns)
    lacking = _lacking(scan, strategy, present)
    if config.fd_thresh_mm is not None and FD not in present:
        lacking.append(f"{FD} (for --fd-thresh)")
    if lacking:
        works = [
            n for n in strategy_names() if not _lacking(scan, load_strategy(n), present)
        ]
        raise InputError(
            f"{scan.confounds}: --denoise-strategy {strategy.name} lacks"
            f" {', '.join(lacking)}.{did_you_mean(lacking[0], present)}"
            f" These strategies would work: {', '.join(works) or 'none by name'};"
            ' or name the columns in a JSON file {"columns": [...]}.'
        )


def _lacking(scan: Scan, strategy: Strategy, present: list[str]) -> list[str]:
    lacking = strategy.missing(present)
    sidecar = scan.confounds and scan.confounds.with_suffix(".json")
    if strategy.preset == "compcor" and not (sidecar and sidecar.is_file()):
        lacking.append(f"{sidecar and sidecar.name} beside the table")
    if strategy.preset == "ica_aroma" and "nonaggr" not in scan.bold.name.lower():
        lacking.append(
            "an image denoised by ICA-AROMA (*_desc-smoothAROMAnonaggr_bold.nii.gz"
            f" of fMRIPrep before 24 with --use-aroma; the image is {scan.bold.name})"
        )
    return lacking


def _preset(
    scan: Scan, strategy: Strategy, table: pd.DataFrame, config: DenoiseConfig
) -> tuple[pd.DataFrame, np.ndarray]:
    options = dict(strategy.options)
    if strategy.preset == "scrubbing" and config.fd_thresh_mm is not None:
        options["fd_threshold"] = config.fd_thresh_mm
    with _as_fmriprep(scan, strategy, table) as image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # none kept: see below
                regressors, kept = load_confounds_strategy(
                    str(image), denoise_strategy=strategy.preset, **options
                )
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{scan.confounds}: nilearn cannot make the regressors of"
                f" --denoise-strategy {strategy.name} from it: {error}."
                " Compare its columns and the .json beside it with fMRIPrep's"
                " output, or choose another strategy."
            ) from error
    mask = np.ones(len(table), bool)
    if kept is not None:
        mask = np.isin(np.arange(len(table)), kept)
    return regressors, mask


@contextmanager
def _as_fmriprep(scan: Scan, strategy: Strategy, table: pd.DataFrame) -> Iterator[Path]:
    """Lay the table out under a name that nilearn finds, whatever its own name."""
    desc = "smoothAROMAnonaggr" if strategy.preset == "ica_aroma" else "preproc"
    used = [c for c in table if strategy.preset == "compcor" or "comp_cor" not in c]
    with _folder() as folder:
        path = folder / "sub-1_desc-confounds_timeseries.tsv"
        table[used].to_csv(path, sep="\t", index=False, na_rep="n/a")
        sidecar = scan.confounds and scan.confounds.with_suffix(".json")
        if sidecar and sidecar.is_file():
            path.with_suffix(".json").symlink_to(sidecar.resolve())
        yield folder / f"sub-1_desc-{desc}_bold.nii.gz"


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a temporary folder; nilearn reads every "tsv" of a path as "json"."""
    with tempfile.TemporaryDirectory(prefix="bidsclf-") as name:
        if "tsv" not in Path(name).name:
            yield Path(name)
            return
    with _folder() as folder:
        yield folder


def _picked(strategy: Strategy, table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the columns that the patterns match, as nilearn prepares them."""
    picked = [
        c for c in table.columns if any(fnmatchcase(c, p) for p in strategy.columns)
    ]
    spikes = [c for c in table.columns if DUMMY in c]
    spikes += [c for c in picked if any(s in c for s in SPIKES) and c not in spikes]
    regressors = table[[c for c in picked if c not in spikes]].copy()
    if len(regressors) > 1:  # derivatives have no first value; nilearn takes the next
        regressors.iloc[0] = regressors.iloc[0].fillna(regressors.iloc[1])
    return regressors, ~table[spikes].to_numpy().any(axis=1)


def _check_left(
    scan: Scan, config: DenoiseConfig, kept: np.ndarray, dummy_scans: int
) -> None:
    seconds = kept.sum() * scan.tr_s
    needed = max(config.min_time_s, MIN_VOLUMES * scan.tr_s)
    if seconds < needed:
        raise InputError(
            f"{scan.bold.name}: {seconds:g} s ({kept.sum()} of {kept.size} volumes)"
            f" are left after {dummy_scans} dummy scans and"
            f" {(~kept).sum() - dummy_scans} censored volumes; {needed:g} s are"
            " needed. Lower --min-time, raise --fd-thresh, or leave the run out."
        )


def _check_finite(scan: Scan, regressors: pd.DataFrame, kept: np.ndarray) -> None:
    numbers = regressors.to_numpy(float)
    bad = ~np.isfinite(numbers[kept]).all(axis=0)
    if bad.any():
        raise InputError(
            f"{scan.confounds}: column {', '.join(regressors.columns[bad])} holds"
            f" a value that is not a number in a volume that is kept; first in row"
            f" {np.flatnonzero(kept & ~np.isfinite(numbers).all(axis=1))[0]}."
            " Run fMRIPrep again, or choose another strategy."
        )
