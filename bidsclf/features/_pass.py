"""Everything that is computed from one scan, in one pass over its image."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bidsclf import __version__
from bidsclf.config import DenoiseConfig, ExtractConfig
from bidsclf.errors import InputError
from bidsclf.features import connectivity, quality, timeseries, volume
from bidsclf.features._atlas import Atlas
from bidsclf.features._denoise import Confounds
from bidsclf.features._signals import Signals, atlas_key, read_signals
from bidsclf.scan import Scan

SOFTWARE = ("nilearn", "scikit-learn", "scipy", "numpy", "nibabel", "isal")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AtlasFeatures:
    """What one atlas gave of a scan.

    Attributes
    ----------
    atlas : Atlas
    series : float32 array of shape (n_kept, n_regions)
        Cleaned and z-scored; NaN columns for regions that are missing.
    matrices : dict of str to float32 array of shape (n_regions, n_regions)
        Keys are ``connectivity.KINDS``; empty if connectivity was not asked for.
    coverage : float array of shape (n_regions,)
        Share of each region inside image and mask, in [0, 1].
    n_voxels : int array of shape (n_regions,)
    """

    atlas: Atlas
    series: np.ndarray
    matrices: dict[str, np.ndarray]
    coverage: np.ndarray
    n_voxels: np.ndarray

    @property
    def missing(self) -> np.ndarray:
        """Whether each region has no series, bool of shape (n_regions,)."""
        missing: np.ndarray = np.isnan(self.series).all(axis=0)
        return missing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScanFeatures:
    """Everything computed from one scan.

    Attributes
    ----------
    atlases : tuple of AtlasFeatures
    quality : dict
        ``quality.COLUMNS``, then ``missing_regions_<atlas>`` for each atlas.
    denoise : Confounds
    fd : float array of shape (n_volumes,)
        Framewise displacement in mm; NaN where unknown.
    kept : bool array of shape (n_volumes,)
    tr_s : float
    meta : dict
        For every sidecar: what was removed, filtered and smoothed, by what.
    notes : tuple of str
        What a reader should know and no number says.
    volumes : Volumes or None
        Where they were asked for.
    """

    atlases: tuple[AtlasFeatures, ...]
    quality: dict[str, float | int | None]
    denoise: Confounds
    fd: np.ndarray
    kept: np.ndarray
    tr_s: float
    meta: dict[str, Any]
    notes: tuple[str, ...]
    volumes: volume.Volumes | None = None


def extract_scan(
    scan: Scan, config: ExtractConfig, *, cache_dir: Path | None = None
) -> ScanFeatures:
    """Compute all features and the quality of a scan, reading its image once.

    Parameters
    ----------
    scan : Scan
    config : ExtractConfig
    cache_dir : Path or None
        Where atlases resampled to a grid are kept.

    Raises
    ------
    InputError
        A file of the scan is not what the step needs; the message names it.
    """
    signals = read_signals(scan, config, cache_dir=cache_dir)
    atlases = tuple(_atlases(scan, config, signals))
    denoise = signals.confounds
    notes = (*signals.notes, *(n for a in atlases for n in _note(a, config)))
    measured = quality.summarize(denoise, tr_s=scan.tr_s, tsnr=signals.tsnr)
    counts = {
        f"missing_regions_{atlas_key(a.atlas)}": int(a.missing.sum()) for a in atlases
    }
    return ScanFeatures(
        atlases=atlases,
        quality={**measured, **counts},
        denoise=denoise,
        fd=denoise.fd,
        kept=denoise.kept,
        tr_s=scan.tr_s,
        meta=_meta(scan, config, denoise, notes),
        notes=notes,
        volumes=volume.volumes(scan, config, signals) if signals.volumes else None,
    )


def _atlases(
    scan: Scan, config: ExtractConfig, signals: Signals
) -> Iterator[AtlasFeatures]:
    for part, means in zip(signals.weights, signals.means, strict=True):
        series = timeseries.clean(
            means, signals.confounds, tr_s=scan.tr_s, config=config.denoise
        )
        if np.isnan(series).all():
            raise InputError(
                f"{scan.bold}: no region of atlas {part.atlas.label} has a signal that"
                " varies once confounds are removed. Look at the image, or choose"
                " another --denoise-strategy."
            )
        related = "connectivity" in config.features
        yield AtlasFeatures(
            atlas=part.atlas,
            series=series,
            matrices=connectivity.matrices(series) if related else {},
            coverage=part.coverage,
            n_voxels=part.n_voxels,
        )


def _note(features: AtlasFeatures, config: ExtractConfig) -> Iterator[str]:
    """Name the regions that are covered and yet have no signal."""
    flat = features.missing & (features.coverage >= config.min_coverage)
    if flat.any():
        names = [features.atlas.regions[i] for i in np.flatnonzero(flat)]
        yield (
            f"Atlas {features.atlas.label}: {len(names)} regions are covered but their"
            f" signal is constant, so they are n/a: {', '.join(names[:10])}"
            f"{' …' if len(names) > 10 else ''}."
        )


def _meta(
    scan: Scan, config: ExtractConfig, denoise: Confounds, notes: tuple[str, ...]
) -> dict[str, Any]:
    asked = config.denoise
    known = {
        "Strategy": denoise.strategy,
        **denoise.meta,
        "Regressors": list(denoise.columns),
        "DummyScans": denoise.dummy_scans,
        "DummyScansAsked": "auto" if asked.dummy_scans is None else asked.dummy_scans,
        "CensoredVolumes": np.flatnonzero(~denoise.kept).tolist(),
        "NumberOfVolumes": denoise.n_volumes,
        "NumberOfVolumesKept": int(denoise.sample_mask.size),
        "DegreesOfFreedom": timeseries.freedom(denoise, scan.tr_s, asked),
        "Detrended": True,
        "Filter": _filter(asked),
        "HighPassHz": asked.high_pass_hz,
        "LowPassHz": asked.low_pass_hz,
        "SmoothingFWHM": asked.smoothing_fwhm_mm,
        "Standardization": "z-score of each region over the volumes kept",
        "MinCoverage": config.min_coverage,
        "Notes": list(notes) or None,
        "SoftwareVersions": {
            "bidsclf": __version__,
            **{name: version(name) for name in SOFTWARE},
        },
    }
    return {key: value for key, value in known.items() if value is not None}


def _filter(asked: DenoiseConfig) -> str | None:
    if asked.high_pass_hz is None and asked.low_pass_hz is None:
        return None
    return "Butterworth, order 5, forward and backward"
