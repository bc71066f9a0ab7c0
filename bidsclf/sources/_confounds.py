"""The table of confounds of a simulated run, named as fMRIPrep names it."""

from typing import Any

import numpy as np
import pandas as pd

from bidsclf.sources._anatomy import Anatomy
from bidsclf.sources._signals import MOTION, framewise_displacement
from bidsclf.sources._volumes import Run

CUT_OFF_S = 128.0  # of the cosine high-pass; fMRIPrep's default
N_COMPONENTS = 5  # of each tissue's CompCor; ours
FD_SPIKE_MM, DVARS_SPIKE = 0.5, 1.5  # fMRIPrep's defaults
N_UNSTEADY = 1
DVARS_STRIDE = 4  # every fourth voxel is enough for a median


def confounds(run: Run, anatomy: Anatomy) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a run's confounds and their sidecar.

    Tissue signals and components come from the run's own voxels, so they hold
    what leaked into the signal, and the noise too.

    Returns
    -------
    table : DataFrame of shape (n_volumes, n_columns)
        fMRIPrep's names; NaN where a first difference does not exist.
    sidecar : dict
        CompCor masks and variances, as fMRIPrep writes them.
    """
    cosines = cosine_drifts(len(run.volumes) - N_UNSTEADY, run.tr_s)
    tissues = {
        "global_signal": np.ones(anatomy.n_voxels, bool),
        "csf": anatomy.fluid,
        "white_matter": anatomy.white,
    }
    columns: dict[str, np.ndarray] = {}
    for name, mask in tissues.items():
        columns |= _expanded(name, run.volumes[:, mask].mean(axis=1, dtype=float))
    columns |= _dvars(run.volumes)
    columns["framewise_displacement"] = framewise_displacement(run.motion)
    components, sidecar = _components(run.volumes, anatomy, cosines)
    columns |= components
    columns |= _padded("cosine", cosines)
    columns |= _spikes("non_steady_state_outlier", np.arange(N_UNSTEADY), run)
    for name, values in zip(MOTION, run.motion.T, strict=True):
        columns |= _expanded(name, values)
    columns |= _spikes("motion_outlier", _outliers(columns), run)
    return pd.DataFrame(columns), sidecar


def _expanded(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    change = np.concatenate([[np.nan], np.diff(values)])
    return {
        name: values,
        f"{name}_derivative1": change,
        f"{name}_power2": values**2,
        f"{name}_derivative1_power2": change**2,
    }


def cosine_drifts(n_volumes: int, tr_s: float) -> np.ndarray:
    """Return the discrete cosines slower than the cut-off.

    Returns
    -------
    drifts : float array of shape (n_volumes, n_drifts)
        Orthonormal columns, zero mean.
    """
    order = int(2 * n_volumes * tr_s / CUT_OFF_S)
    phase = np.pi * (np.arange(n_volumes)[:, None] + 0.5) / n_volumes
    return np.sqrt(2 / n_volumes) * np.cos(phase * np.arange(1, order + 1))


def _padded(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Name columns by number; the first, unsteady volumes are 0, as in fMRIPrep."""
    full = np.concatenate([np.zeros((N_UNSTEADY, values.shape[1])), values])
    return {f"{name}{number:02d}": column for number, column in enumerate(full.T)}


def _spikes(name: str, volumes: np.ndarray, run: Run) -> dict[str, np.ndarray]:
    impulses = np.eye(len(run.volumes), dtype=int)
    return {f"{name}{n:02d}": impulses[volume] for n, volume in enumerate(volumes)}


def _outliers(columns: dict[str, np.ndarray]) -> np.ndarray:
    moved = np.nan_to_num(columns["framewise_displacement"]) > FD_SPIKE_MM
    jumped = np.nan_to_num(columns["std_dvars"]) > DVARS_SPIKE
    found = np.flatnonzero(moved | jumped)
    return found[found > N_UNSTEADY]


def _dvars(volumes: np.ndarray) -> dict[str, np.ndarray]:
    """DVARS, plain and standardized by what independent noise would give.

    Power et al. 2012; Nichols 2013 for the standardized one, with the standard
    deviation in place of the interquartile range.
    """
    sample = volumes[:, ::DVARS_STRIDE].astype(float)
    change = np.diff(sample, axis=0)
    dvars = np.sqrt((change**2).mean(axis=1))
    steady = sample[N_UNSTEADY:] - sample[N_UNSTEADY:].mean(axis=0)
    variance = (steady**2).mean(axis=0)
    lag = (steady[1:] * steady[:-1]).mean(axis=0)
    expected = np.sqrt(2 * (variance - lag).clip(min=0).mean())
    return {
        "std_dvars": np.concatenate([[np.nan], dvars / expected]),
        "dvars": np.concatenate([[np.nan], dvars]),
    }


def _components(
    volumes: np.ndarray, anatomy: Anatomy, cosines: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Principal components of the tissues without neural signal: aCompCor.

    Behzadi et al. (2007), doi:10.1016/j.neuroimage.2007.04.042.
    """
    masks = {
        "c": ("CSF", anatomy.fluid),
        "w": ("WM", anatomy.white),
        "a": ("combined", anatomy.fluid | anatomy.white),
    }
    columns: dict[str, np.ndarray] = {}
    sidecar: dict[str, Any] = {}
    for letter, (name, mask) in masks.items():
        scores, singular, share = _principal(volumes[N_UNSTEADY:, mask], cosines)
        columns |= _padded(f"{letter}_comp_cor_", scores)
        for number in range(scores.shape[1]):
            sidecar[f"{letter}_comp_cor_{number:02d}"] = {
                "CumulativeVarianceExplained": float(share[: number + 1].sum()),
                "Mask": name,
                "Method": "aCompCor",
                "Retained": True,
                "SingularValue": float(singular[number]),
                "VarianceExplained": float(share[number]),
            }
    return columns, sidecar


def _principal(
    series: np.ndarray, drifts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    steady = series.astype(float) - series.mean(axis=0, dtype=float)
    steady -= drifts @ (drifts.T @ steady)
    steady /= steady.std(axis=0)
    values, vectors = np.linalg.eigh(steady @ steady.T)
    top = np.argsort(values)[::-1][:N_COMPONENTS]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(vectors))])
    singular = np.sqrt(values[top])
    return vectors[:, top] * signs[top], singular, values[top] / values.sum()
