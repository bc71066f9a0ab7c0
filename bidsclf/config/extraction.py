"""Settings of the participant level: which scans, and what is computed from them."""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path

from bidsclf.checks import Checked, name_each_once, setting

FEATURES = ("timeseries", "connectivity")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionConfig(Checked):
    """Which scans are taken.

    Attributes
    ----------
    participant_label, session_label, task_id, run_id : tuple of str
        Labels without their prefix; empty means all.
    space : str
        Template of the images.
    """

    participant_label: tuple[str, ...] = setting((), "--participant-label")
    session_label: tuple[str, ...] = setting((), "--session-label")
    task_id: tuple[str, ...] = setting((), "--task-id")
    run_id: tuple[str, ...] = setting((), "--run-id")
    space: str = setting("MNI152NLin2009cAsym", "--space")
    bids_filter_file: Path | None = setting(None, "--bids-filter-file")
    bids_database_dir: Path | None = setting(None, "--bids-database-dir")


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseConfig(Checked):
    """How regional signals are cleaned.

    Attributes
    ----------
    strategy : str
        A name in ``data/strategies`` or the path of a JSON file of columns.
    smoothing_fwhm_mm : float
        Full width at half maximum of the Gaussian, 0 for none.
    high_pass_hz, low_pass_hz : float or None
        Butterworth cut-offs.
    fd_thresh_mm : float or None
        Volumes that moved more are censored; None leaves it to the strategy.
    min_time_s : float
        Seconds that must be left after censoring.
    dummy_scans : int or None
        Volumes dropped at the start; None takes those that fMRIPrep flagged.
    """

    strategy: str = setting("simple", "--denoise-strategy")
    smoothing_fwhm_mm: float = setting(0.0, "--smoothing-fwhm", least=0)
    high_pass_hz: float | None = setting(None, "--high-pass", above=0)
    low_pass_hz: float | None = setting(None, "--low-pass", above=0)
    fd_thresh_mm: float | None = setting(None, "--fd-thresh", above=0)
    min_time_s: float = setting(120.0, "--min-time", least=0)
    dummy_scans: int | None = setting(None, "--dummy-scans", least=0)

    def _contradictions(self) -> list[str]:
        low, high = self.low_pass_hz, self.high_pass_hz
        if not (low and high) or high < low:
            return []
        return [
            f"--high-pass is {high} Hz and --low-pass is {low} Hz;"
            " the high-pass lies below the low-pass. Swap them?"
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeConfig(Checked):
    """What is kept of a scan's volumes by the feature 'volume'.

    Attributes
    ----------
    size : int
        Voxels along each edge of the small grid.
    length : int
        Volumes that are taken; 0 takes all that are kept, which the command line
        calls ``all`` and a settings file 0.
    pick : {'even', 'contiguous'}
        Volumes evenly spaced over the run, or those in its middle.
    zscore : bool
        Z-score each voxel over the volumes kept; else the image is divided by its
        mean over brain and time.
    """

    size: int = setting(34, "--volume-size", least=4, most=256)
    length: int = setting(20, "--volume-length")
    pick: str = setting("even", "--volume-pick", choices=("even", "contiguous"))
    zscore: bool = setting(False, "--volume-zscore")

    def _contradictions(self) -> list[str]:
        if self.length >= 0:
            return []
        return [
            f"--volume-length is {self.length}; it takes 1 or more, or all (in a"
            " settings file, 0)."
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class GreyMatterConfig(Checked):
    """How maps are found and brought to a cube by the feature 'graymatter'.

    Attributes
    ----------
    size : int
        Cells along each edge of a cube of 192 mm.
    smoothing_fwhm_mm : float
        Full width at half maximum of the Gaussian, 0 for none.
    map_pattern : str or None
        Regular expression with a group ``sub``, and ``ses`` where there is one, that
        tells whose a map of CAT12 or VBM is; None takes names as in BIDS.
    map_table : Path or None
        Table that says so instead, and which files are taken.
    """

    size: int = setting(64, "--gm-size", least=4, most=256)
    smoothing_fwhm_mm: float = setting(0.0, "--gm-smoothing-fwhm", least=0)
    map_pattern: str | None = setting(None, "--map-pattern")
    map_table: Path | None = setting(None, "--map-table")

    def _contradictions(self) -> list[str]:
        problems = []
        if self.map_pattern is not None:
            problems += _pattern_problems(self.map_pattern)
            if self.map_table is not None:
                problems.append(
                    "--map-pattern and --map-table both say whose a map is; give one"
                    " of them."
                )
        return problems


def _pattern_problems(pattern: str) -> list[str]:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        return [
            f"--map-pattern {pattern!r} is no regular expression ({error})."
            " Quote it as in 'mwrc1(?P<sub>[0-9]+)'."
        ]
    if "sub" in groups:
        return []
    return [
        f"--map-pattern {pattern!r} has no group named sub, which tells whose a map"
        " is. Write it as in 'mwrc1(?P<sub>[0-9]+)'."
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractConfig(Checked):
    """What is computed from a scan.

    Attributes
    ----------
    features : tuple of str
        Names of files in ``features/``.
    atlases : tuple of str
        Names in ``data/atlases`` or paths.
    min_coverage : float
        Share of a region's voxels inside the brain mask, in [0, 1]; a region
        below it is ``n/a``.
    """

    features: tuple[str, ...] = setting(FEATURES, "--features")
    atlases: tuple[str, ...] = setting(("aal",), "--atlases")
    min_coverage: float = setting(0.5, "--min-coverage", least=0, most=1)
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)
    volume: VolumeConfig = field(default_factory=VolumeConfig)
    graymatter: GreyMatterConfig = field(default_factory=GreyMatterConfig)

    @property
    def needs_atlas(self) -> bool:
        """Whether something of regions is asked for."""
        return bool(set(self.features) - {"volume", "graymatter"})

    @property
    def needs_scans(self) -> bool:
        """Whether something of functional images is asked for."""
        return bool(set(self.features) - {"graymatter"})

    @property
    def needs_maps(self) -> bool:
        """Whether grey-matter maps are asked for."""
        return "graymatter" in self.features

    def _contradictions(self) -> list[str]:
        problems = [
            *name_each_once("--features", self.features),
            *name_each_once("--atlases", self.atlases),
        ]
        for name, part in (("volume", self.volume), ("graymatter", self.graymatter)):
            if name not in self.features and (named := _changed(part)):
                problems.append(
                    f"{', '.join(named)}: --features ({' '.join(self.features)}) has no"
                    f" {name!r}, so nothing changes. Add it there, or leave these out."
                )
        return problems


def _changed(part: Checked) -> list[str]:
    """Return the options of the settings that are not their defaults."""
    return [
        str(known.metadata["option"])
        for known in fields(part)  # type: ignore[arg-type]
        if getattr(part, known.name) != known.default
    ]
