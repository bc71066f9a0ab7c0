"""Settings: one frozen part a stage, checked when made, saved with the results.

Every message names the command-line option, since that is what a user can change.
A setting's default, bounds and choices stand here and nowhere else.
"""

from dataclasses import dataclass, field
from pathlib import Path

from bidsclf.checks import Checked, setting
from bidsclf.checks import from_plain as from_plain
from bidsclf.checks import to_plain as to_plain

FEATURES = ("timeseries", "connectivity")
LEVELS = ("participant", "group", "predict")


def _count(option: str, names: tuple[str, ...]) -> list[str]:
    if not names:
        return [f"{option} is empty; name at least one."]
    if len(set(names)) < len(names):
        return [f"{option} names one twice: {' '.join(names)}."]
    return []


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

    def _contradictions(self) -> list[str]:
        return [
            *_count("--features", self.features),
            *_count("--atlases", self.atlases),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortConfig(Checked):
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
    participant_label, session_label, task_id, run_id : tuple of str
        Which people and runs are read, labels without prefix; empty means all.
    include : str or None
        A condition on columns of participants.tsv, such as ``site == 'NYU'``.
    runs : {'average', 'keep'}
        Runs of one person averaged to one row, or kept as rows of one person.
    """

    target: str = setting("diagnosis", "--target")
    positive_label: str | None = setting(None, "--positive-label")
    site_column: str = setting("site", "--site-column")
    atlas: str | None = None
    desc: str | None = None
    space: str | None = None
    participant_label: tuple[str, ...] = setting((), "--participant-label")
    session_label: tuple[str, ...] = setting((), "--session-label")
    task_id: tuple[str, ...] = setting((), "--task-id")
    run_id: tuple[str, ...] = setting((), "--run-id")
    include: str | None = setting(None, "--include")
    runs: str = setting("average", "--runs", choices=("average", "keep"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldConfig(Checked):
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

    scheme: str = setting("kfold", "--cv", choices=("kfold", "loso"))
    n_folds: int = setting(10, "--n-folds", least=2)
    n_repeats: int = setting(1, "--n-repeats", least=1)
    valid_fraction: float = setting(0.15, above=0, below=0.5)
    seed: int = setting(0, "--seed", least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisConfig(Checked):
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

    models: tuple[str, ...] = setting(
        ("fc-svm", "control-phenotype", "control-motion", "control-site"), "--models"
    )
    analysis_id: str = setting("main", "--analysis-id")
    n_bootstrap: int = setting(1000, "--n-bootstrap", least=100)
    device: str = setting("auto", "--device", choices=("auto", "cpu", "cuda"))

    def _contradictions(self) -> list[str]:
        problems = _count("--models", self.models)
        if not (self.analysis_id.isascii() and self.analysis_id.isalnum()):
            problems.append(
                f"--analysis-id is {self.analysis_id!r}; it takes letters and digits."
            )
        return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig(Checked):
    """Where and how the work is done; nothing here changes a result."""

    work_dir: Path | None = setting(None, "--work-dir")
    nprocs: int = setting(1, "--nprocs", least=1)
    omp_nthreads: int = setting(1, "--omp-nthreads", least=1)
    mem_gb: float | None = setting(None, "--mem", above=0)
    nipype_plugin_file: Path | None = setting(None, "--nipype-plugin-file")
    stop_on_first_crash: bool = setting(False, "--stop-on-first-crash")
    dry_run: bool = setting(False, "--dry-run")
    force: bool = setting(False, "--force")
    reports_only: bool = setting(False, "--reports-only")
    clean_workdir: bool = setting(False, "--clean-workdir")
    verbose: int = setting(0, "--verbose", least=0)

    def _contradictions(self) -> list[str]:
        if not (self.reports_only and self.force):
            return []
        return [
            "--reports-only writes pages from what is there and --force computes it"
            " again; give one of them."
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Checked):
    """Everything a run was asked for; saved as ``logs/<run id>/bidsclf.toml``."""

    bids_dir: Path
    output_dir: Path
    level: str = field(metadata={"option": "the level", "choices": LEVELS})
    derivatives: Path | None = setting(None, "--derivatives")
    model: Path | None = setting(None, "--model")
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    extract: ExtractConfig = field(default_factory=ExtractConfig)
    cohort: CohortConfig = field(default_factory=CohortConfig)
    folds: FoldConfig = field(default_factory=FoldConfig)
    analysis: AnalysisConfig = field(default_factory=AnalysisConfig)
    run: RunConfig = field(default_factory=RunConfig)
