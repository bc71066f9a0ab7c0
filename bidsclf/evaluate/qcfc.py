"""QC-FC: what head motion leaves in functional connectivity."""

import numpy as np
from scipy.stats import t

FLAT = 1e-6  # a feature that varies less, in units of its size, is constant; ours
LEVEL = 0.05


def qcfc(x: np.ndarray, motion: np.ndarray) -> dict[str, float]:
    """Correlate each feature with motion over people.

    Parameters
    ----------
    x : float array of shape (n_people, n_features)
        Finite. Features that do not vary are left out.
    motion : float array of shape (n_people,)
        Mean framewise displacement (mm), finite and not constant.

    Returns
    -------
    found : dict
        n_edges (features that vary), median_abs_r, share_p05 (features with an
        uncorrected p below .05; 5 % by chance), share_fdr05 (after Benjamini &
        Hochberg). NaN shares where no feature varies.

    References
    ----------
    Ciric et al. (2017), NeuroImage 154, 174-187,
    doi:10.1016/j.neuroimage.2017.03.020. Departure: no covariates, so that
    motion that differs between sites or classes counts as well.

    Examples
    --------
    >>> motion = np.array([0.1, 0.2, 0.3, 0.4])
    >>> x = np.stack([motion, np.ones(4), [1, -1, -1, 1]], axis=1)
    >>> {name: round(value, 2) for name, value in qcfc(x, motion).items()}
    {'n_edges': 2, 'median_abs_r': 0.5, 'share_p05': 0.5, 'share_fdr05': 0.5}
    """
    n = len(motion)
    centred = x - x.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0).astype(float)
    varies = norms > FLAT * np.sqrt(n) * np.abs(x).max(axis=0)
    unit = (motion - motion.mean()) / np.linalg.norm(motion - motion.mean())
    r = (unit.astype(x.dtype) @ centred)[varies] / norms[varies]
    r = np.clip(r.astype(float), -1 + 1e-12, 1 - 1e-12)
    p = 2 * t.sf(np.abs(r) * np.sqrt((n - 2) / (1 - r**2)), n - 2)
    return {
        "n_edges": len(r),
        "median_abs_r": float(np.median(np.abs(r))) if len(r) else np.nan,
        "share_p05": float(np.mean(p < LEVEL)) if len(r) else np.nan,
        "share_fdr05": _discovered(p),
    }


def _discovered(p: np.ndarray) -> float:
    """Return the share of tests that Benjamini & Hochberg (1995) call at 5 %."""
    if not len(p):
        return float("nan")
    allowed = LEVEL * np.arange(1, len(p) + 1) / len(p)
    passed = np.flatnonzero(np.sort(p) <= allowed)
    return float((passed[-1] + 1) / len(p)) if len(passed) else 0.0
