"""Time courses of a simulated run: neural, physiological and head motion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve
from scipy.stats import gamma

from bidsclf.sources._study import Edge, network_of
from bidsclf.sources._wave import SHARE, phases, travelling_wave

NETWORK, PARTNER, PLANTED, OWN = 0.20, 0.12, 0.34, 0.34  # shares of variance; ours
COUPLING = 0.64  # correlation of a planted pair's sources at effect 1; ours
HEAD_RADIUS_MM = 50.0  # Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018
WARM_UP_S = 40.0  # longer than the haemodynamic response
MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What is a person's own, and the same in each of their runs.

    Attributes
    ----------
    coupling : float array of shape (n_edges,)
        Correlation of the two sources of each planted edge, in [-0.95, 0.95].
    loading : float array of shape (n_regions,)
        Factor on a region's share in its network.
    motion : float
        Typical displacement between volumes, in mm.
    leak : float array of shape (2,)
        How much of the two physiological sources enters grey matter.
    wave : float or None
        Direction of the travelling wave, in [-1, 1]; None where there is none.
    spheres : float or None
        Strength of what differs in two spheres; None where there are none.
    """

    coupling: np.ndarray
    loading: np.ndarray
    motion: float
    leak: np.ndarray
    wave: float | None = None
    spheres: float | None = None


def draw_traits(
    edges: Sequence[Edge], n_regions: int, *, shift: float, rng: np.random.Generator
) -> Traits:
    """Draw a person.

    Parameters
    ----------
    edges : sequence of Edge
    n_regions : int
    shift : float
        ``effect`` for a patient, ``-effect`` for a control: the planted
        couplings are moved by ``shift * COUPLING`` in the direction of each
        edge's sign, so that the variances tell nothing.
    rng : Generator
    """
    signs = np.array([edge.sign for edge in edges], float)
    drawn = rng.normal(0, 0.2, len(edges))
    return Traits(
        coupling=np.clip(signs * shift * COUPLING + drawn, -0.95, 0.95),
        loading=np.exp(rng.normal(0, 0.2, n_regions)),
        motion=float(np.exp(rng.normal(np.log(0.1), 0.35))),
        leak=np.exp(rng.normal(0, 0.35, 2)),
    )


def haemodynamic_response(tr_s: float) -> np.ndarray:
    """Return SPM's canonical response at each volume, scaled to unit energy.

    The density of a gamma distribution of shape 6, which peaks at 5 s, less a
    sixth of that of shape 16: the undershoot has a sixth of the area (Friston
    et al. 1998, doi:10.1006/nimg.1997.0306).

    Examples
    --------
    >>> int(haemodynamic_response(1.0).argmax())
    5
    """
    time_s = np.arange(0, 32, tr_s)
    response = gamma.pdf(time_s, 6) - gamma.pdf(time_s, 16) / 6
    return response / np.linalg.norm(response)


def haemodynamic_noise(
    n_volumes: int, n_sources: int, *, tr_s: float, rng: np.random.Generator
) -> np.ndarray:
    """Return white neural noise seen through the haemodynamic response.

    Returns
    -------
    noise : float array of shape (n_volumes, n_sources)
        Independent columns, zero mean and unit variance in expectation.
    """
    warm_up = int(np.ceil(WARM_UP_S / tr_s))
    white = rng.normal(size=(n_volumes + warm_up, n_sources))
    response = haemodynamic_response(tr_s)[:, None]
    return fftconvolve(white, response, axes=0)[warm_up : warm_up + n_volumes]


def neural(
    regions: Sequence[str],
    edges: Sequence[Edge],
    traits: Traits,
    *,
    n_volumes: int,
    tr_s: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the regions' neural signals.

    A region is the sum of its network's source, one shared with its partner in
    the other hemisphere, its own, one for each planted edge it is part of, and
    the travelling wave of a person who has one.

    Returns
    -------
    signals : float array of shape (n_volumes, n_regions)
        Variance near 1, the wave's ``SHARE`` apart; the same for both diagnoses.
    """
    networks = [network_of(region) for region in regions]
    partners = [region[:-1] if region[-2] == "_" else region for region in regions]
    planted = _planted(regions, edges)

    def noise(n_sources: int) -> np.ndarray:
        return haemodynamic_noise(n_volumes, n_sources, tr_s=tr_s, rng=rng)

    signals = np.sqrt(OWN) * noise(len(regions))
    signals += np.sqrt(NETWORK) * traits.loading * _shared(networks, noise)
    signals += np.sqrt(PARTNER) * _shared(partners, noise)
    first, second = noise(len(edges)), noise(len(edges))
    second = traits.coupling * first + np.sqrt(1 - traits.coupling**2) * second
    for edge, (a, b) in enumerate(planted):
        signals[:, a] += np.sqrt(PLANTED) * first[:, edge]
        signals[:, b] += np.sqrt(PLANTED) * second[:, edge]
    if traits.wave is not None:
        signals += np.sqrt(SHARE) * travelling_wave(
            phases(regions), traits.wave, n_volumes=n_volumes, tr_s=tr_s, rng=rng
        )
    return signals


def _shared(groups: Sequence[str], noise: Callable[[int], np.ndarray]) -> np.ndarray:
    names, index = np.unique(groups, return_inverse=True)
    return noise(len(names))[:, index]


def _planted(regions: Sequence[str], edges: Sequence[Edge]) -> list[tuple[int, int]]:
    where = {region: place for place, region in enumerate(regions)}
    return [(where[edge.a], where[edge.b]) for edge in edges]


def head_motion(
    n_volumes: int, *, step_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """Return six motion parameters: mm, then radians.

    A slow random walk that is pulled back, and sudden moves that stay.

    Returns
    -------
    motion : float array of shape (n_volumes, 6)
    """
    scale = np.array([0.5, 0.6, 0.9, 1.0, 0.6, 0.5]) * step_mm
    scale[3:] /= HEAD_RADIUS_MM
    steps = rng.normal(size=(n_volumes, 6)) * scale * 0.35
    spikes = rng.random(n_volumes) < 0.02
    steps[spikes] += rng.normal(size=(int(spikes.sum()), 6)) * scale * 5
    motion = np.empty((n_volumes, 6))
    position = np.zeros(6)
    for volume, step in enumerate(steps):
        position = 0.95 * position + step
        motion[volume] = position
    return motion - motion[n_volumes // 2]


def framewise_displacement(motion: np.ndarray) -> np.ndarray:
    """Return Power's framewise displacement.

    Parameters
    ----------
    motion : float array of shape (n_volumes, 6)
        mm, then radians.

    Returns
    -------
    displacement : float array of shape (n_volumes,)
        mm; NaN for the first volume.

    Examples
    --------
    >>> framewise_displacement(np.array([[0.0] * 6, [0.1, 0, 0, 0.01, 0, 0]]))
    array([nan, 0.6])
    """
    moved = np.abs(np.diff(motion, axis=0))
    total = moved[:, :3].sum(axis=1) + HEAD_RADIUS_MM * moved[:, 3:].sum(axis=1)
    return np.concatenate([[np.nan], total])


def physiology(n_volumes: int, *, tr_s: float, rng: np.random.Generator) -> np.ndarray:
    """Return two physiological sources: mostly breathing, mostly the heart.

    Each is an oscillation whose rate wanders, sampled once a volume and so
    aliased, on slow vascular noise.

    Returns
    -------
    sources : float array of shape (n_volumes, 2)
        Variance 1.
    """
    time_s = np.arange(n_volumes) * tr_s
    slow = haemodynamic_noise(n_volumes, 2, tr_s=max(tr_s, 1.5), rng=rng)
    columns = []
    for rate_hz, column in zip((0.28, 1.05), slow.T, strict=True):
        wander = np.cumsum(rng.normal(0, 0.05, n_volumes)) * tr_s
        wave = np.sin(2 * np.pi * rate_hz * time_s + wander + rng.uniform(0, 6.3))
        columns.append(column + 0.8 * wave)
    sources = np.stack(columns, axis=1)
    return (sources - sources.mean(axis=0)) / sources.std(axis=0)
