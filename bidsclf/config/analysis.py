"""Settings of the group level: who, how people are split, what is fitted."""

import re
from dataclasses import dataclass
from pathlib import Path

from bidsclf.checks import Checked, name_each_once, setting
from bidsclf.options import did_you_mean

MISSING = ("error", "drop", "impute-train-median")
UNSEEN = ("refuse", "identity", "batch")
HARMONIZERS = ("none", "combat", "combat-gam", "covbat")
N_FOLDS = 10
BOOTSTRAP_REPEATS = 100  # rounds of seeds 000
OWN = "own"  # --volume-size own, kept as 0: images on the grid they came with
ALL = "all"  # ``FAMILY-all`` in --models is every member of the family
FEWEST_REFITS = 20  # the least p, 1 / (m + 1), is below .05 then


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
    volume_size : int or None
        Which grid of the volumes is read, by its edge; 0 is the images' own, which
        ``bidsclf-data matfile`` keeps; None takes the only one.
    gm_desc : str or None
        Which grey-matter maps are read, such as 'iso64'; None takes the only kind.
    participant_label, session_label, task_id, run_id : tuple of str
        Which people and runs are read, labels without prefix; empty means all.
    include : str or None
        A condition on columns of participants.tsv, such as ``site == 'NYU'``.
    source : str or None
        A condition on columns of participants.tsv: people outside the study, from
        whom a model that can learns before; whoever is studied is not among them.
    resample_tr_s : float or None
        Repetition time in seconds that the series of all runs are brought to, from
        0.1 (no fMRI is faster) to 10 (Nyquist at 0.05 Hz, half of the usual band).
    runs : {'average', 'keep'}
        Runs of one person averaged to one row, or kept as rows of one person.
    match : bool
        Keep one control a patient within each site, the nearest in age.
    group_column : str or None
        Column of families or twins, who never straddle a split.
    covariates : tuple of str
        Columns whose effects harmonization keeps; never the target.
    missing : {'error', 'drop', 'impute-train-median'}
        What becomes of people without a covariate.
    """

    target: str = setting("diagnosis", "--target")
    positive_label: str | None = setting(None, "--positive-label")
    site_column: str = setting("site", "--site-column")
    atlas: str | None = None
    desc: str | None = None
    space: str | None = None
    volume_size: int | None = setting(None, "--volume-size", least=0, most=256)
    gm_desc: str | None = setting(None, "--gm-desc")
    participant_label: tuple[str, ...] = setting((), "--participant-label")
    session_label: tuple[str, ...] = setting((), "--session-label")
    task_id: tuple[str, ...] = setting((), "--task-id")
    run_id: tuple[str, ...] = setting((), "--run-id")
    include: str | None = setting(None, "--include")
    source: str | None = setting(None, "--source")
    resample_tr_s: float | None = setting(None, "--resample-tr", least=0.1, most=10)
    runs: str = setting("average", "--runs", choices=("average", "keep"))
    match: bool = setting(False, "--match")
    group_column: str | None = setting(None, "--group-column")
    covariates: tuple[str, ...] = setting((), "--covariates")
    missing: str = setting("error", "--missing", choices=MISSING)

    def size_like(self, grid: str | None) -> int | None:
        """Return ``volume_size``, or that of a grid such as '34' where none is said.

        Examples
        --------
        >>> CohortConfig().size_like("34"), CohortConfig(volume_size=0).size_like("34")
        (34, 0)
        """
        is_said = self.volume_size is not None or not grid
        return self.volume_size if is_said else int(grid or 0)

    def _contradictions(self) -> list[str]:
        problems = (
            name_each_once("--covariates", self.covariates) if self.covariates else []
        )
        for option in ("include", "source"):
            if (said := getattr(self, option)) is not None and not said.strip():
                problems.append(
                    f"--{option} is empty; give a condition on participants.tsv, such"
                    " as \"site == 'NYU'\", or leave it out."
                )
        named = {name.lower() for name in self.covariates}
        if self.target.lower() in named:
            problems.append(
                f"--covariates names the target, {self.target!r}: harmonization that"
                " knows the diagnosis writes it into the features of the people to be"
                " tested (a leak). Leave it out."
            )
        if self.site_column.lower() in named:
            problems.append(
                f"--covariates names the site, {self.site_column!r}, whose effect is"
                " what harmonization removes. Leave it out."
            )
        return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldConfig(Checked):
    """How people are split.

    Attributes
    ----------
    scheme : {'kfold', 'loso', 'bootstrap'}
        'kfold' stratifies by diagnosis and site; 'loso' leaves one site out;
        'bootstrap' draws people with replacement and tests those not drawn.
    n_folds : int
        Outer folds of 'kfold'.
    n_repeats : int or None
        Repeats of 'kfold' (1), rounds of 'bootstrap' (100); 'loso' has one.
    folds_file : Path or None
        A table of splits that replaces the scheme.
    valid_fraction : float
        Share of each *training* part held out for early stopping, in (0, 0.5).
    seed : int
        Root of every random stream of the run.
    """

    scheme: str = setting("kfold", "--cv", choices=("kfold", "loso", "bootstrap"))
    n_folds: int = setting(N_FOLDS, "--n-folds", least=2)
    n_repeats: int | None = setting(None, "--n-repeats", least=1)
    folds_file: Path | None = setting(None, "--folds-file")
    valid_fraction: float = setting(0.15, above=0, below=0.5)
    seed: int = setting(0, "--seed", least=0)

    def _contradictions(self) -> list[str]:
        """Return which settings a table of splits would leave without effect."""
        asked = {
            "--cv": self.scheme != "kfold",
            "--n-folds": self.n_folds != N_FOLDS,
            "--n-repeats": self.n_repeats is not None,
        }
        named = [option for option, is_asked in asked.items() if is_asked]
        if self.folds_file is None or not named:
            return []
        return [
            f"--folds-file and {', '.join(named)}: the file says how people are split,"
            " so the rest changes nothing. Leave one or the other out."
        ]

    @property
    def repeats(self) -> int:
        """How often the scheme is repeated."""
        if self.scheme == "loso":
            return 1
        return self.n_repeats or (BOOTSTRAP_REPEATS if self.scheme != "kfold" else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HarmonizeConfig(Checked):
    """How site effects are removed, always learned from training people.

    Attributes
    ----------
    method : {'none', 'combat', 'combat-gam', 'covbat'}
    unseen : {'refuse', 'identity', 'batch'} or None
        What becomes of a site unseen in training; None refuses, and in predict
        does as the model was made.
    smooth_terms : tuple of str
        Covariates that combat-gam lets act along a curve; empty means age.
    """

    method: str = setting("none", "--harmonize", choices=HARMONIZERS)
    unseen: str | None = setting(None, "--harmonize-unseen", choices=UNSEEN)
    smooth_terms: tuple[str, ...] = setting((), "--smooth-terms")


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpretConfig(Checked):
    """What a fitted model is explained with; nothing here changes a fit.

    Attributes
    ----------
    atlas_image : Path or None
        The atlas' image, with a table beside it: where each region lies.
    networks : Path or None
        A label image of networks, with a table beside it.
    decoding_data : Path or None
        Folder of Neurosynth's data.
    traits : tuple of str
        Columns looked for in latent spaces; empty takes all that can be used.
    """

    atlas_image: Path | None = setting(None, "--atlas-image")
    networks: Path | None = setting(None, "--networks")
    decoding_data: Path | None = setting(None, "--decoding-data")
    traits: tuple[str, ...] = setting((), "--traits")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisConfig(Checked):
    """Which models are fitted, and how they are judged.

    Attributes
    ----------
    models : tuple of str
        Members of the families in ``models/``; ``FAMILY-all`` stands for all of one
        until the group level begins.
    settings : tuple of str
        ``MODEL:NAME=VALUE``, what is changed of the models; each model says which
        names it has, and is asked before anything is fitted.
    analysis_id : str
        Name of the folder of the analysis; letters and digits.
    n_bootstrap : int
        Resamples of people behind each interval.
    n_permutations : int
        Permutations of labels within site, against scores that stand.
    n_refit_permutations : int
        Permutations for each of which every model is fitted again; 0 for none,
        else 20 or more: fewer cannot give p < .05.
    device : {'auto', 'cpu', 'cuda'}
    """

    models: tuple[str, ...] = setting(
        ("fc-svm", "control-phenotype", "control-motion", "control-site"), "--models"
    )
    settings: tuple[str, ...] = setting((), "--model-settings")
    analysis_id: str = setting("main", "--analysis-id")
    n_bootstrap: int = setting(1000, "--n-bootstrap", least=100)
    n_permutations: int = setting(1000, "--n-permutations", least=100)
    n_refit_permutations: int = setting(0, "--n-refit-permutations", least=0)
    device: str = setting("auto", "--device", choices=("auto", "cpu", "cuda"))

    def _contradictions(self) -> list[str]:
        problems = name_each_once("--models", self.models)
        problems += self._misspelled()
        if not (self.analysis_id.isascii() and self.analysis_id.isalnum()):
            problems.append(
                f"--analysis-id is {self.analysis_id!r}; it takes letters and digits."
            )
        if 0 < self.n_refit_permutations < FEWEST_REFITS:
            m = self.n_refit_permutations
            problems.append(
                f"--n-refit-permutations is {m}; the smallest p is then 1/{m + 1},"
                f" not below .05. Give {FEWEST_REFITS} or more, or 0 for none."
            )
        return problems

    def _misspelled(self) -> list[str]:
        """Return what is wrong with ``settings`` whatever the models say."""
        problems, seen = [], set()
        for word in self.settings:
            match = re.fullmatch(r"([^:=\s]+):([^:=\s]+)=(.*)", word)
            if match is None:
                problems.append(
                    f"--model-settings {word!r}: expected MODEL:NAME=VALUE, such as"
                    " meanmlp:patience=20."
                )
                continue
            model, name, value = match.groups()
            family_all = f"{model.partition('-')[0]}-{ALL}"
            if model not in self.models and family_all not in self.models:
                problems.append(
                    f"--model-settings {word}: {model!r} is not among --models"
                    f" {' '.join(self.models)}.{self._instead(model, name, value)}"
                )
            if (model, name) in seen:
                problems.append(f"--model-settings gives {model}:{name} twice.")
            seen.add((model, name))
        return problems

    def _instead(self, model: str, name: str, value: str) -> str:
        """Return what to write: of a family, the settings of those that were named."""
        family, _, member = model.partition("-")
        named = [one for one in self.models if one.partition("-")[0] == family]
        if member != ALL or not named:
            return did_you_mean(model, self.models)
        words = " ".join(f"{one}:{name}={value}" for one in named)
        return f" Write {words}, or name {model} there."
