"""Settings of a run, and all settings together."""

from dataclasses import dataclass, field
from pathlib import Path

from bidsclf.checks import Checked, setting
from bidsclf.config.analysis import (
    AnalysisConfig,
    CohortConfig,
    FoldConfig,
    HarmonizeConfig,
    InterpretConfig,
)
from bidsclf.config.extraction import ExtractConfig, SelectionConfig

LEVELS = ("participant", "group", "predict")
MAPS = ("cat12", "vbm")  # where grey-matter maps may come from, beside fMRIPrep


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
    derivatives: Path | None = setting(None, "--derivatives")  # fMRIPrep's
    cat12: Path | None = setting(None, "-d cat12")
    vbm: Path | None = setting(None, "-d vbm")
    model: Path | None = setting(None, "--model")
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    extract: ExtractConfig = field(default_factory=ExtractConfig)
    cohort: CohortConfig = field(default_factory=CohortConfig)
    folds: FoldConfig = field(default_factory=FoldConfig)
    harmonize: HarmonizeConfig = field(default_factory=HarmonizeConfig)
    analysis: AnalysisConfig = field(default_factory=AnalysisConfig)
    interpret: InterpretConfig = field(default_factory=InterpretConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def _contradictions(self) -> list[str]:
        method, smooth = self.harmonize.method, self.harmonize.smooth_terms
        problems = []
        named = {name.lower() for name in self.cohort.covariates}
        if method == "combat-gam" and not smooth and "age" not in named:
            problems.append(
                "--harmonize combat-gam lets age act along a curve, and --covariates"
                f" ({' '.join(self.cohort.covariates) or 'none'}) names no age. Add it,"
                " name other numbers with --smooth-terms, or use --harmonize combat."
            )
        problems += self._without_effect() + self._of_maps()
        if smooth and method != "combat-gam":
            problems.append(
                f"--smooth-terms is for --harmonize combat-gam, which is {method!r}."
            )
        if strange := set(smooth) - set(self.cohort.covariates):
            problems.append(
                f"--smooth-terms names {', '.join(sorted(strange))}, not among"
                " --covariates. Add it there."
            )
        refuses = self.harmonize.unseen in (None, "refuse")
        if self.folds.scheme == "loso" and method != "none" and refuses:
            problems.append(
                f"--cv loso tests sites unseen in training and --harmonize {method}"
                " refuses them. Give --harmonize-unseen identity (their features stay"
                " as they are) or batch (location and scale from the site's own"
                " unlabelled people), or use --harmonize none."
            )
        return problems

    def _without_effect(self) -> list[str]:
        """Return what is asked for and would change nothing."""
        problems, how = [], self.harmonize
        if self.level == "group" and how.unseen and how.method == "none":
            problems.append(
                f"--harmonize-unseen is {how.unseen} and --harmonize is none, so it"
                " changes nothing. Give a method, such as combat, or leave it out."
            )
        missing = self.cohort.missing
        if self.level == "group" and missing != "error" and not self.cohort.covariates:
            problems.append(
                f"--missing is {missing} and --covariates is empty, so it changes"
                " nothing. Name covariates, or leave it out."
            )
        return problems

    def _of_maps(self) -> list[str]:
        """Return what is said of grey-matter maps and does not fit."""
        if self.level != "participant":
            return []
        named = [f"-d {name}" for name in MAPS if getattr(self, name) is not None]
        asked, problems = self.extract.graymatter, []
        if len(named) > 1:
            problems.append(
                f"{' and '.join(named)}: maps come from one of them. Run once for"
                " each; their files have other names."
            )
        if named and not self.extract.needs_maps:
            problems.append(
                f"{' and '.join(named)}: --features ({' '.join(self.extract.features)})"
                " has no 'graymatter', so nothing is read there. Add it."
            )
        if not named and (asked.map_pattern or asked.map_table):
            option = "--map-pattern" if asked.map_pattern else "--map-table"
            problems.append(
                f"{option} is for maps of -d cat12=PATH or vbm=PATH; fMRIPrep's are"
                " known by their names. Name the folder, or leave it out."
            )
        return problems
