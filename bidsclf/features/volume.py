"""Volumes: the brain on a small grid that is the same for everyone, cleaned."""

from dataclasses import dataclass

import numpy as np

from bidsclf.config import ExtractConfig, VolumeConfig
from bidsclf.errors import InputError
from bidsclf.features import timeseries
from bidsclf.features._denoise import Confounds
from bidsclf.features._resize import SmallGrid
from bidsclf.features._signals import Signals, read_signals
from bidsclf.scan import Scan

COLUMNS = 2048  # cells that are cleaned at once, so that memory stays small; ours


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volumes:
    """The volumes that were taken of a scan.

    Attributes
    ----------
    values : float32 array of shape (size, size, size, n_taken)
        0 outside the brain.
    grid : SmallGrid
    taken : int array of shape (n_taken,)
        Their indices in the source run, ascending.
    """

    values: np.ndarray
    grid: SmallGrid
    taken: np.ndarray


def pick(n_kept: int, config: ExtractConfig) -> np.ndarray:
    """Choose among the volumes kept.

    'even' takes the middle of each of ``length`` equal parts, 'contiguous' the
    middle of the run.

    Returns
    -------
    which : int array of shape (length,), or (n_kept,) where all are taken
        Ascending indices into the volumes kept.

    Raises
    ------
    InputError
        Fewer are kept than ``--volume-length`` asks for.

    Examples
    --------
    >>> from bidsclf.config import VolumeConfig
    >>> pick(10, ExtractConfig(features=("volume",), volume=VolumeConfig(length=5)))
    array([1, 3, 5, 7, 9])
    """
    length = config.volume.length or n_kept
    if n_kept < length:
        raise InputError(
            f"{n_kept} volumes are kept, and --volume-length asks for {length}."
            " Lower it, censor less, or leave the run out."
        )
    if config.volume.pick == "contiguous":
        return (n_kept - length) // 2 + np.arange(length)
    return (2 * np.arange(length) + 1) * n_kept // (2 * length)


def standardized(
    signals: np.ndarray, confounds: Confounds, *, tr_s: float, config: ExtractConfig
) -> np.ndarray:
    """Clean the cells as regions are cleaned, and take some of the volumes.

    The regression removes each cell's mean, which is put back: the anatomy stays.
    All is then divided by the mean over brain and time, so that scanners share a
    unit and 1 is the brain's mean. With ``zscore``, each cell has mean 0 and
    variance 1 (divisor n - 1) over the volumes kept instead; a cell that does not
    vary, or is explained by the confounds whole, is 0.

    Parameters
    ----------
    signals : float32 array of shape (n_volumes, n_inside)
        Raw cells, in the image's unit.
    confounds : Confounds
        Of the same ``n_volumes``.
    tr_s : float
    config : ExtractConfig

    Returns
    -------
    cleaned : float32 array of shape (n_taken, n_inside)

    Raises
    ------
    InputError
        The run is too short, or the brain's mean is not above 0.
    """
    kept = confounds.sample_mask
    which, how = pick(kept.size, config), config.denoise
    cleaned = np.empty((which.size, signals.shape[1]), np.float32)
    total = 0.0
    for first in range(0, signals.shape[1], COLUMNS):
        part = slice(first, first + COLUMNS)
        if config.volume.zscore:
            scores = timeseries.clean(
                signals[:, part], confounds, tr_s=tr_s, config=how
            )
            cleaned[:, part] = np.nan_to_num(scores[which], copy=False)
            continue
        left = timeseries.residuals(signals[:, part], confounds, tr_s=tr_s, config=how)
        mean = signals[kept, part].mean(axis=0, dtype=np.float64)
        cleaned[:, part] = (left - left.mean(axis=0) + mean)[which]
        total += float(mean.sum())
    if not config.volume.zscore:
        cleaned /= _brain_mean(total, signals)
    return cleaned


def _brain_mean(total: float, signals: np.ndarray) -> np.float32:
    mean = total / signals.shape[1]
    if not mean > 0:
        raise InputError(
            f"the mean over brain and time is {mean:.3g}; an image that still has its"
            " mean was expected, which the values are divided by. Give fMRIPrep's"
            " image, or --volume-zscore."
        )
    return np.float32(mean)


def standardization(config: VolumeConfig) -> str:
    """Return in which unit the values are, in words."""
    if config.zscore:
        return "z-score of each voxel over the volumes kept"
    return "divided by the mean over brain and time"


def volumes(scan: Scan, config: ExtractConfig, signals: Signals) -> Volumes:
    """Return what one pass over a scan gave, cleaned and picked.

    Parameters
    ----------
    scan : Scan
    config : ExtractConfig
        'volume' is among its features.
    signals : Signals
    """
    small, confounds = signals.volumes, signals.confounds
    if small is None:
        raise ValueError("the pass over the image was not asked for volumes")
    try:
        values = standardized(small.values, confounds, tr_s=scan.tr_s, config=config)
    except InputError as error:
        raise InputError(f"{scan.bold}: {error}") from error
    return Volumes(
        values=small.whole(values),
        grid=small.grid,
        taken=confounds.sample_mask[pick(confounds.sample_mask.size, config)],
    )


def extract(scan: Scan, config: ExtractConfig) -> np.ndarray:
    """Return a scan's volumes.

    Returns
    -------
    volumes : float32 array of shape (n_taken, size, size, size)
    """
    found = volumes(scan, config, read_signals(scan, config))
    return np.moveaxis(found.values, -1, 0)
