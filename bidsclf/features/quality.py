"""How good a scan is: motion, signal to noise, time and coverage."""

from collections.abc import Callable

import numpy as np

from bidsclf.config import ExtractConfig
from bidsclf.features._denoise import Confounds
from bidsclf.features._signals import read_signals
from bidsclf.scan import Scan

COLUMNS = {  # what each number is; the sidecar of quality.tsv
    "mean_fd": "Mean framewise displacement of all volumes, in mm",
    "max_fd": "Largest framewise displacement, in mm",
    "n_volumes": "Volumes of the image",
    "n_kept": "Volumes kept after dummy scans and censoring",
    "dummy_scans": "Volumes dropped at the start, not yet in a steady state",
    "seconds_kept": "Volumes kept times the repetition time, in s",
    "tr_s": "Repetition time, in s",
    "tsnr": "Median over the brain mask of each voxel's mean over its standard"
    " deviation, dummy scans left out",
    "mean_dvars": "Mean DVARS of all volumes, in the image's unit",
}


def summarize(
    confounds: Confounds, *, tr_s: float, tsnr: float | None
) -> dict[str, float | int | None]:
    """Return the numbers of ``COLUMNS``; None where the table says nothing.

    Parameters
    ----------
    confounds : Confounds
    tr_s : float
    tsnr : float or None
    """
    n_kept = int(confounds.sample_mask.size)
    return {
        "mean_fd": _over(np.mean, confounds.fd),
        "max_fd": _over(np.max, confounds.fd),
        "n_volumes": confounds.n_volumes,
        "n_kept": n_kept,
        "dummy_scans": confounds.dummy_scans,
        "seconds_kept": n_kept * tr_s,
        "tr_s": tr_s,
        "tsnr": tsnr,
        "mean_dvars": _over(np.mean, confounds.dvars),
    }


def _over(measure: Callable[[np.ndarray], float], values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(measure(known)) if known.size else None


def extract(scan: Scan, config: ExtractConfig) -> np.ndarray:
    """Return a scan's quality.

    Returns
    -------
    quality : float32 array of shape (len(COLUMNS),)
        In the order of ``COLUMNS``; NaN where a number is not known.
    """
    signals = read_signals(scan, config)
    numbers = summarize(signals.confounds, tr_s=scan.tr_s, tsnr=signals.tsnr)
    return np.array([numbers[name] for name in COLUMNS], np.float32)
