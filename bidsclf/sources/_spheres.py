"""Two spheres that differ in patients: in their mean, and in a wave between them.

What the atlas' regions cover is left out of them, and they are left out of the
tissues that confounds are taken from: a wave in white matter that is regressed out
would come into every region. So regional signals, and the edges between them, are
the same in both groups, before denoising and after, global signal regression apart:
only a model of the image can find this effect. The wave is slow, as those of
resting-state fMRI are (Majeed et al. 2011, doi:10.1016/j.neuroimage.2010.08.030);
its place is ours.
"""

from dataclasses import replace

import numpy as np

from bidsclf.sources._anatomy import Anatomy

CENTRES_MM = ((-28.0, -18.0, 34.0), (26.0, -40.0, 26.0))  # white matter, one a side
RADIUS_MM = 16.0
RAISE = 0.15  # of the mean signal at effect 1
WAVE = 0.05  # amplitude, of the mean signal at effect 1
PERIOD_S, LAG_S = 24.0, 6.0  # a quarter of a cycle from the first to the second
COHERENCE_S = 72.0  # as of the wave of a dynamic study


def spheres(anatomy: Anatomy) -> np.ndarray:
    """Return which voxels each sphere holds, regions of the atlas left out.

    Returns
    -------
    spheres : bool array of shape (2, n_voxels)
    """
    indices = np.argwhere(anatomy.mask)
    at_mm = indices @ anatomy.affine[:3, :3].T + anatomy.affine[:3, 3]
    away_mm = np.linalg.norm(at_mm - np.array(CENTRES_MM)[:, None], axis=2)
    return (away_mm <= RADIUS_MM) & (anatomy.region < 0)


def spared(anatomy: Anatomy) -> Anatomy:
    """Return the anatomy whose white matter and fluid leave the spheres out."""
    outside = ~spheres(anatomy).any(axis=0)
    return replace(
        anatomy, white=anatomy.white & outside, fluid=anatomy.fluid & outside
    )


def factors(
    spheres: np.ndarray,
    strength: float,
    *,
    n_volumes: int,
    tr_s: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return what the signal of each voxel is multiplied by.

    Parameters
    ----------
    spheres : bool array of shape (2, n_voxels)
    strength : float
        1 raises the spheres by ``RAISE``, with a wave of amplitude ``WAVE``; 0
        gives ones.
    n_volumes : int
    tr_s : float
        Repetition time in seconds.
    rng : Generator

    Returns
    -------
    factors : float32 array of shape (n_volumes, n_voxels)
    """
    time_s = tr_s * np.arange(n_volumes)
    wandered = rng.normal(0, np.sqrt(2 * tr_s / COHERENCE_S), n_volumes).cumsum()
    phase = rng.uniform(0, 2 * np.pi) + wandered
    lags_s = LAG_S * np.arange(len(spheres))
    angle = 2 * np.pi * (time_s[:, None] - lags_s) / PERIOD_S + phase[:, None]
    share = strength * (RAISE + WAVE * np.cos(angle))  # (n_volumes, 2)
    return (1 + share @ spheres).astype(np.float32)
