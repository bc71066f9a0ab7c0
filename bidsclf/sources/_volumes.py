"""A simulated run in voxels: signals, leaks and noise on the standard brain."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bidsclf.sources._anatomy import Anatomy
from bidsclf.sources._signals import (
    HEAD_RADIUS_MM,
    Traits,
    framewise_displacement,
    head_motion,
    neural,
    physiology,
)
from bidsclf.sources._spheres import factors, spheres
from bidsclf.sources._study import N_FIELDS, Edge, Site

# Per cent of the mean signal; ours, near what 3 T scans show.
NEURAL, BREATH, HEART, DRIFT, SMOOTH, THERMAL = 1.2, 0.6, 0.5, 0.6, 0.15, 1.5
PER_MM, DROP_PER_MM = 2.0, 1.5  # of head displacement, and of its sudden part
UNSTEADY = 1.15  # the first volume, before the magnetization is steady


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run inside the brain.

    Attributes
    ----------
    volumes : float32 array of shape (n_volumes, n_voxels)
        Intensity; the first volume is not in steady state.
    motion : float array of shape (n_volumes, 6)
        mm, then radians.
    tr_s : float
    """

    volumes: np.ndarray
    motion: np.ndarray
    tr_s: float


def simulate_run(
    anatomy: Anatomy,
    edges: Sequence[Edge],
    traits: Traits,
    site: Site,
    rng: np.random.Generator,
) -> Run:
    """Return one run of a person on a scanner."""
    n_volumes, tr_s = site.n_volumes, site.tr_s
    signals = neural(
        anatomy.regions, edges, traits, n_volumes=n_volumes, tr_s=tr_s, rng=rng
    )
    motion = head_motion(n_volumes, step_mm=traits.motion, rng=rng)
    nuisance = _nuisance(motion, physiology(n_volumes, tr_s=tr_s, rng=rng), rng)
    percent = nuisance @ _patterns(anatomy, traits, site)
    inside = anatomy.region >= 0
    percent[:, inside] += NEURAL * signals.astype(np.float32)[:, anatomy.region[inside]]
    thermal = rng.standard_normal(percent.shape, dtype=np.float32)
    percent += np.float32(THERMAL * site.noise) * thermal
    volumes = anatomy.intensity * (1 + percent / 100)
    if traits.spheres is not None:
        where = spheres(anatomy)
        held = where.any(axis=0)
        volumes[:, held] *= factors(
            where[:, held], traits.spheres, n_volumes=n_volumes, tr_s=tr_s, rng=rng
        )
    volumes[0] *= UNSTEADY
    volumes = site.gain * volumes + site.offset
    return Run(volumes=volumes.astype(np.float32), motion=motion, tr_s=tr_s)


def _nuisance(
    motion: np.ndarray, body: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    n_volumes = len(motion)
    moved_mm = motion * np.array([1, 1, 1, *[HEAD_RADIUS_MM] * 3])
    sudden_mm = np.nan_to_num(framewise_displacement(motion))
    time = np.linspace(0, 1, n_volumes)
    drift = np.stack([time, np.cos(2 * np.pi * time)], axis=1)
    smooth = rng.normal(size=(n_volumes, N_FIELDS))
    parts = [body, moved_mm, sudden_mm[:, None], drift, smooth]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _patterns(anatomy: Anatomy, traits: Traits, site: Site) -> np.ndarray:
    """Where each nuisance source goes: (n_sources, n_voxels), per cent a unit."""
    fields = anatomy.fields
    tissue = np.ones((2, anatomy.n_voxels), np.float32) * traits.leak[:, None]
    tissue *= 1 + 0.3 * fields[:2]
    tissue[:, anatomy.white] = [[1.5], [0.3]]
    tissue[:, anatomy.fluid] = [[0.4], [3.0]]
    body = np.array([[BREATH], [HEART]]) * tissue
    moved = PER_MM * fields[2:8]
    sudden = -DROP_PER_MM * (1 + 0.3 * fields[8:9])
    drift = DRIFT * fields[9:11]
    smooth = SMOOTH * np.array(site.texture)[:, None] * fields
    patterns = [body, moved, sudden, drift, smooth]
    return np.concatenate(patterns).astype(np.float32)
