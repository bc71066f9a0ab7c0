"""Settings: one frozen part a stage, checked when made, saved with the results.

Every message names the command-line option, since that is what a user can change.
"""

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from bidsclf.errors import ConfigError

STRATEGY_SHAPE = "a strategy's name or a JSON file of columns"
FEATURES = ("timeseries", "connectivity")


def _check(problems: list[str]) -> None:
    if problems:
        raise ConfigError("\n".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionConfig:
    """Which scans are taken.

    Attributes
    ----------
    participant_label, session_label, task_id, run_id : tuple of str
        Labels without their prefix; empty means all.
    space : str
        Template of the images.
    """

    participant_label: tuple[str, ...] = ()
    session_label: tuple[str, ...] = ()
    task_id: tuple[str, ...] = ()
    run_id: tuple[str, ...] = ()
    space: str = "MNI152NLin2009cAsym"
    bids_filter_file: Path | None = None
    bids_database_dir: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiseConfig:
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

    strategy: str = "simple"
    smoothing_fwhm_mm: float = 0.0
    high_pass_hz: float | None = None
    low_pass_hz: float | None = None
    fd_thresh_mm: float | None = None
    min_time_s: float = 120.0
    dummy_scans: int | None = None

    def __post_init__(self) -> None:
        low, high = self.low_pass_hz, self.high_pass_hz
        problems = [
            f"{option} is {value}; it takes a number above 0."
            for option, value in (
                ("--high-pass", high),
                ("--low-pass", low),
                ("--fd-thresh", self.fd_thresh_mm),
            )
            if value is not None and not value > 0
        ]
        problems += [
            f"{option} is {value}; it takes 0 or more."
            for option, value in (
                ("--smoothing-fwhm", self.smoothing_fwhm_mm),
                ("--min-time", self.min_time_s),
                ("--dummy-scans", self.dummy_scans),
            )
            if value is not None and not value >= 0
        ]
        if low and high and not high < low:
            problems.append(
                f"--high-pass is {high} Hz and --low-pass is {low} Hz;"
                " the high-pass lies below the low-pass. Swap them?"
            )
        _check(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractConfig:
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

    features: tuple[str, ...] = FEATURES
    atlases: tuple[str, ...] = ("aal",)
    min_coverage: float = 0.5
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)

    def __post_init__(self) -> None:
        problems = []
        if not 0 <= self.min_coverage <= 1:
            problems.append(
                f"--min-coverage is {self.min_coverage}; it lies between 0 and 1."
            )
        if not self.atlases:
            problems.append("--atlases is empty; name at least one.")
        _check(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortConfig:
    """Who is studied, and what is predicted.

    Attributes
    ----------
    target : str
        Column of participants.tsv with exactly two values.
    positive_label : str or None
        The value scored as 1; None is allowed where the column says it itself.
    site_column : str
        Column of the acquisition site.
    atlas, desc, space : str or None
        Which derivatives are read; None takes the only one there is.
    runs : {'average', 'keep'}
        Runs of one person averaged to one row, or kept as rows of one person.
    """

    target: str = "diagnosis"
    positive_label: str | None = None
    site_column: str = "site"
    atlas: str | None = None
    desc: str | None = None
    space: str | None = None
    runs: str = "average"

    def __post_init__(self) -> None:
        if self.runs not in ("average", "keep"):
            raise ConfigError(f"--runs is {self.runs!r}; it is 'average' or 'keep'.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldConfig:
    """How people are split.

    Attributes
    ----------
    scheme : {'kfold', 'loso'}
        'kfold' stratifies by diagnosis and site; 'loso' leaves one site out.
    n_folds, n_repeats : int
        Outer folds and repeats for 'kfold'; 'loso' ignores both.
    valid_fraction : float
        Share of each *training* part held out for early stopping, in (0, 0.5).
    seed : int
        Root of every random stream of the run.
    """

    scheme: str = "kfold"
    n_folds: int = 10
    n_repeats: int = 1
    valid_fraction: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.scheme not in ("kfold", "loso"):
            problems.append(f"--cv is {self.scheme!r}; it is 'kfold' or 'loso'.")
        if self.n_folds < 2:
            problems.append(f"--n-folds is {self.n_folds}; it takes 2 or more.")
        if self.n_repeats < 1:
            problems.append(f"--n-repeats is {self.n_repeats}; it takes 1 or more.")
        if not 0 < self.valid_fraction < 0.5:
            problems.append(
                f"valid_fraction is {self.valid_fraction};"
                " it lies between 0 and 0.5, both excluded."
            )
        if self.seed < 0:
            problems.append(f"--seed is {self.seed}; it takes 0 or more.")
        _check(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisConfig:
    """Which models are fitted, and how they are judged.

    Attributes
    ----------
    models : tuple of str
        Members of the families in ``models/``.
    analysis_id : str
        Name of the folder of the analysis; letters and digits.
    n_bootstrap : int
        Resamples of people behind each interval.
    device : {'auto', 'cpu', 'cuda'}
    """

    models: tuple[str, ...] = (
        "fc-svm",
        "control-phenotype",
        "control-motion",
        "control-site",
    )
    analysis_id: str = "main"
    n_bootstrap: int = 1000
    device: str = "auto"

    def __post_init__(self) -> None:
        problems = []
        if not self.models:
            problems.append("--models is empty; name at least one.")
        if len(set(self.models)) < len(self.models):
            problems.append(f"--models names one twice: {' '.join(self.models)}.")
        if not self.analysis_id.isalnum():
            problems.append(
                f"--analysis-id is {self.analysis_id!r}; it takes letters and digits."
            )
        if self.n_bootstrap < 100:
            problems.append(
                f"--n-bootstrap is {self.n_bootstrap}; an interval needs 100 or more."
            )
        if self.device not in ("auto", "cpu", "cuda"):
            problems.append(
                f"--device is {self.device!r}; it is 'auto', 'cpu' or 'cuda'."
            )
        _check(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Where and how the work is done; nothing here changes a result."""

    work_dir: Path | None = None
    nprocs: int = 1
    omp_nthreads: int = 1
    mem_gb: float | None = None
    nipype_plugin_file: Path | None = None
    stop_on_first_crash: bool = False
    dry_run: bool = False
    force: bool = False
    reports_only: bool = False
    clean_workdir: bool = False
    verbose: int = 0

    def __post_init__(self) -> None:
        problems = [
            f"{option} is {value}; it takes 1 or more."
            for option, value in (
                ("--nprocs", self.nprocs),
                ("--omp-nthreads", self.omp_nthreads),
            )
            if value < 1
        ]
        if self.mem_gb is not None and not self.mem_gb > 0:
            problems.append(f"--mem is {self.mem_gb}; it takes a number above 0.")
        _check(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a run was asked for; saved as ``logs/<run id>/bidsclf.toml``."""

    bids_dir: Path
    output_dir: Path
    level: str
    derivatives: Path | None = None
    model: Path | None = None
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    extract: ExtractConfig = field(default_factory=ExtractConfig)
    cohort: CohortConfig = field(default_factory=CohortConfig)
    folds: FoldConfig = field(default_factory=FoldConfig)
    analysis: AnalysisConfig = field(default_factory=AnalysisConfig)
    run: RunConfig = field(default_factory=RunConfig)


def to_plain(part: Any) -> dict[str, Any]:
    """Return a part as JSON values without the settings that are None.

    Examples
    --------
    >>> to_plain(FoldConfig(n_folds=5))["n_folds"]
    5
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if v is not None}
        if isinstance(value, tuple):
            return [plain(v) for v in value]
        return str(value) if isinstance(value, Path) else value

    return plain(asdict(part))


def from_plain(kind: type, values: dict[str, Any]) -> Any:
    """Rebuild a part from ``to_plain``; an unknown setting is a ConfigError."""
    known = {f.name: f for f in fields(kind)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(
            f"unknown settings {', '.join(unknown)}; there are: {', '.join(known)}."
        )
    made = {}
    for name, value in values.items():
        shape = known[name].type
        if is_dataclass(shape):
            value = from_plain(shape, value)
        elif isinstance(value, list):
            value = tuple(value)
        elif "Path" in str(shape) and value is not None:
            value = Path(value)
        made[name] = value
    return kind(**made)
