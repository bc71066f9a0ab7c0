"""A wave that travels through the brain's systems: an effect in temporal order.

Slow waves that reach one system seconds after another are seen in resting-state
fMRI (Majeed et al. 2011, doi:10.1016/j.neuroimage.2010.08.030). Here the wave of
one group is that of the other run backwards, in law: every region keeps its
variance and its spectrum, and every pair its covariance at one moment, so a
matrix of correlations tells nothing. Only the order in time does.
"""

from collections.abc import Sequence

import numpy as np

from bidsclf.sources._study import network_of, networks

PERIOD_S, COHERENCE_S = 24.0, 72.0  # ours; slower than the low-pass of any strategy
SHARE = 0.3  # variance of the wave in a region whose own sources have about 1; ours


def phases(regions: Sequence[str]) -> np.ndarray:
    """Return where in the cycle the wave reaches each region.

    Returns
    -------
    phases : float array of shape (n_regions,)
        Radians; the systems follow one another at equal distances.

    Examples
    --------
    >>> phases(["Precuneus_L", "Cuneus_L", "Vermis_10"]).round(2)
    array([0.  , 0.79, 5.5 ])
    """
    order = networks()
    steps = [order.index(network_of(region)) for region in regions]
    return 2 * np.pi * np.array(steps) / len(order)


def travelling_wave(
    phases: np.ndarray,
    direction: float,
    *,
    n_volumes: int,
    tr_s: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a wave, with the haemodynamic response in it.

    Two independent waves, one in each direction, whose variances share as
    ``(1 + direction) / 2`` to ``(1 - direction) / 2``. Each has a constant
    amplitude and a phase that turns once in ``PERIOD_S`` and wanders, so that
    two regions have, ``lag`` seconds apart, the covariance

        exp(-|lag| / COHERENCE_S) (cos(w lag) cos(d) + direction sin(w lag) sin(d))

    with w = 2 pi / PERIOD_S and d the difference of their phases, first less
    second: at lag 0 the direction drops out.

    Parameters
    ----------
    phases : float array of shape (n_regions,)
    direction : float
        In [-1, 1].
    n_volumes : int
    tr_s : float
    rng : Generator

    Returns
    -------
    wave : float array of shape (n_volumes, n_regions)
        Zero mean and unit variance in expectation.
    """
    step = np.sqrt(2 * tr_s / COHERENCE_S)
    wandered = rng.normal(0, step, (n_volumes, 2)).cumsum(axis=0)
    turned = 2 * np.pi * tr_s / PERIOD_S * np.arange(n_volumes)[:, None]
    angle = turned + wandered + rng.uniform(0, 2 * np.pi, 2)
    forth, back = angle.T[:, :, None]
    return np.sqrt(1 + direction) * np.cos(forth - phases) + np.sqrt(
        1 - direction
    ) * np.cos(back + phases)
