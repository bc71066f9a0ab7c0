"""Every option: its words, and the levels where it acts.

Defaults, bounds and choices stand in ``config``; this table adds what is read.
"""

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Any, get_args, get_origin

from bidsclf.config import LEVELS, Config
from bidsclf.options import data_names, names

PARTICIPANT, GROUP, PREDICT = ((level,) for level in LEVELS)
COHORT = GROUP + PREDICT
RUN = "how the work is done"  # group of the options that change no result


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the command line.

    Attributes
    ----------
    name : str
        The long spelling; ``config`` has a setting of this option.
    metavar, help : str
    levels : tuple of str
        Where it acts; elsewhere it is refused.
    aliases : tuple of str
        Other spellings; underscores for dashes are understood without.
    """

    name: str
    metavar: str
    help: str
    levels: tuple[str, ...] = LEVELS
    aliases: tuple[str, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """Every spelling, the short one first, those with underscores last."""
        short = tuple(flag for flag in self.aliases if not flag.startswith("--"))
        long = (self.name, *(flag for flag in self.aliases if flag.startswith("--")))
        underscored = (f"--{flag[2:].replace('-', '_')}" for flag in long)
        return tuple(dict.fromkeys((*short, *long, *underscored)))


GROUPS: tuple[tuple[str, tuple[Option, ...]], ...] = (
    (
        "which scans and people",
        (
            Option("--derivatives", "NAME=PATH", "fmriprep=PATH, fMRIPrep's output,"
                   " where BIDS_DIR is the raw dataset; cat12=PATH or vbm=PATH, where"
                   " the feature graymatter reads maps of CAT12 (mwp1*) or of SPM"
                   " (mwrc1*, mwc1*) instead", PARTICIPANT, ("-d",)),
            Option("--participant-label", "LABEL", "people, with or without 'sub-'"),
            Option("--session-label", "LABEL", "sessions, with or without 'ses-'"),
            Option("--task-id", "LABEL", "tasks", aliases=("-t",)),
            Option("--run-id", "LABEL", "runs"),
            Option("--space", "SPACE", "template of the images, and of maps whose"
                   " names give none"),
            Option("--gm-desc", "KIND", "which grey-matter maps are read, such as iso64"
                   " or cat12iso64; the only kind when not given", COHORT),
            Option("--bids-filter-file", "JSON", "pybids filters, as fMRIPrep takes"
                   " them", PARTICIPANT),
            Option("--bids-database-dir", "PATH", "folder of a pybids database to use"
                   " or make", PARTICIPANT),
        ),
    ),
    (
        "what is computed from a scan",
        (
            Option("--features", "NAME", "files in bidsclf/features", PARTICIPANT),
            Option("--atlases", "NAME|PATH", "atlases by name, or a NIfTI file with a"
                   " table beside it; at group and predict exactly one"),
            Option("--denoise-strategy", "NAME|JSON", "confounds that are removed, by"
                   " name or as a JSON file of columns; at group and predict, which"
                   " of the strategies there are is read"),
            Option("--smoothing-fwhm", "MM", "Gaussian smoothing", PARTICIPANT),
            Option("--high-pass", "HZ", "lower edge of the filter", PARTICIPANT),
            Option("--low-pass", "HZ", "upper edge of the filter", PARTICIPANT),
            Option("--fd-thresh", "MM", "volumes with a larger framewise displacement"
                   " are censored", PARTICIPANT),
            Option("--min-time", "S", "seconds a run keeps at least; a shorter one"
                   " fails", PARTICIPANT),
            Option("--dummy-scans", "auto|N", "volumes dropped at the start; auto takes"
                   " those that fMRIPrep flagged", PARTICIPANT),
            Option("--min-coverage", "SHARE", "a region with a smaller share of its"
                   " voxels in the brain mask is n/a", PARTICIPANT),
            Option("--volume-size", "N|own", "edge of the small grid that the"
                   " feature volume brings the brain to, in voxels; at group and"
                   " predict, which of the grids there are is read: own is that of the"
                   " images themselves, as bidsclf-data matfile keeps it"),
            Option("--volume-length", "N|all", "volumes that the feature volume takes"
                   " of a run, or all that are kept", PARTICIPANT),
            Option("--volume-pick", "HOW", "volumes evenly spaced over the run, or"
                   " contiguous ones from its middle", PARTICIPANT),
            Option("--volume-zscore", "", "z-score each voxel over time; else the image"
                   " is divided by its mean", PARTICIPANT),
            Option("--gm-size", "N", "cells along each edge of the cube of 192 mm that"
                   " the feature graymatter brings maps to", PARTICIPANT),
            Option("--gm-smoothing-fwhm", "MM", "Gaussian smoothing of the maps before",
                   PARTICIPANT),
            Option("--map-pattern", "REGEX", "whose a map of CAT12 or SPM is: groups"
                   " sub and, where there is one, ses, searched in the file's name,"
                   " then in its path; names as in BIDS when not given", PARTICIPANT),
            Option("--map-table", "TSV|CSV", "whose the maps are, instead: columns"
                   " file, participant_id and, where there is one, session; no other"
                   " file is read", PARTICIPANT),
        ),
    ),
    (
        "who is told apart, and how well (group)",
        (
            Option("--target", "COLUMN", "column of participants.tsv with two values",
                   GROUP),
            Option("--positive-label", "VALUE", "the value that is scored as 1", GROUP),
            Option("--site-column", "COLUMN", "column of the site", COHORT),
            Option("--include", "EXPR", "a condition on participants.tsv, such as"
                   " \"site == 'NYU' and age < 18\"; the others are left out", GROUP),
            Option("--match", "", "keep one control a patient within each site, the"
                   " nearest in age", GROUP),
            Option("--group-column", "COLUMN", "column of families or twins, who are"
                   " never split between training and test", GROUP),
            Option("--models", "NAME", "models to fit; FAMILY-all is every member of a"
                   " family, such as resnet3d-all", GROUP),
            Option("--model-settings", "MODEL:NAME=VALUE", "what is changed of a model,"
                   " such as meanmlp:patience=20; of FAMILY-all, of each member that"
                   " has the setting and no word of its own; a name that the model has"
                   " not is answered with those it has", GROUP),
            Option("--resample-tr", "S", "bring the series of all runs to one"
                   " repetition time, 0.1 to 10 s, then z-score them; connectivity"
                   " stays as it is; predict does as its model", GROUP),
            Option("--source", "EXPR", "a condition on participants.tsv: people outside"
                   " the study, from whom a model that can (dtl) learns first; whoever"
                   " is studied, their family and their scans are left out", GROUP),
            Option("--cv", "SCHEME", "folds over people, one site left out, or the"
                   " bootstrap tested out of bag", GROUP),
            Option("--n-folds", "N", "folds of kfold", GROUP),
            Option("--n-repeats", "N", "repeats of kfold (1) or rounds of bootstrap"
                   " (100)", GROUP),
            Option("--folds-file", "TSV", "splits of your own, written as folds.tsv",
                   GROUP),
            Option("--harmonize", "METHOD", "remove site effects, learned in the"
                   " training part of each fold", GROUP),
            Option("--harmonize-unseen", "POLICY", "a site unseen in training: refuse"
                   " it, leave it as it is, or estimate it from its own unlabelled"
                   " people; predict does as its model", COHORT),
            Option("--covariates", "COLUMN", "columns whose effects harmonization"
                   " keeps; never the target", GROUP),
            Option("--smooth-terms", "COLUMN", "covariates that combat-gam lets act"
                   " along a curve; age when not given", GROUP),
            Option("--missing", "HOW", "people without a covariate: an error, left out,"
                   " or the median of the training people", GROUP),
            Option("--n-bootstrap", "N", "resamples behind each interval", GROUP),
            Option("--n-permutations", "N", "permutations of labels within site, on"
                   " scores that stand", GROUP),
            Option("--n-refit-permutations", "N", "permutations with every model fitted"
                   " again", GROUP),
            Option("--runs", "HOW", "several runs of a person become one row, or stay"
                   " rows of that person; predict does as its model", GROUP),
            Option("--analysis-id", "ID", "name of the analysis' folder, letters and"
                   " digits; predict calls it predictions", COHORT),
            Option("--seed", "N", "root of all randomness", GROUP),
            Option("--device", "DEVICE", "where networks are trained", COHORT),
        ),
    ),
    (
        "what explains a fitted model (group); no fit is made again",
        (
            Option("--atlas-image", "NIFTI", "image of the atlas, with a table beside"
                   " it: where each region lies", GROUP),
            Option("--networks", "NIFTI", "label image of networks, such as Yeo's"
                   " seven, with a table beside it", GROUP),
            Option("--decoding-data", "PATH", "folder of Neurosynth's data", GROUP),
            Option("--traits", "COLUMN", "columns of participants.tsv that are looked"
                   " for in the latent spaces of patients (cvae, vae); all that can be"
                   " used when not given", GROUP),
        ),
    ),
    (
        "a trained model and new people (predict)",
        (
            Option("--model", "BUNDLE", "folder of the trained model, such as"
                   " OUTPUT_DIR/derivatives/main/models/fc-svm/final", PREDICT),
        ),
    ),
    (
        RUN,
        (
            Option("--work-dir", "PATH", "folder of intermediate files, kept for the"
                   " next run; a temporary one when not given",
                   aliases=("-w",)),
            Option("--nprocs", "N", "processes at once",
                   aliases=("--nthreads", "--n-cpus")),
            Option("--omp-nthreads", "N", "threads a process"),
            Option("--mem", "SIZE", "memory that processes at once share, such as 8G or"
                   " 8000M; a bare number is MB. Fewer run at once, by estimates of"
                   " 0.5 GB a scan (more with volumes) and 1 GB a fit; with one process"
                   " it changes nothing",
                   aliases=("--mem-mb",)),
            Option("--nipype-plugin-file", "YAML", "nipype plugin and its arguments,"
                   " for a cluster"),
            Option("--stop-on-first-crash", "", "start nothing more after a failure"),
            Option("--dry-run", "", "print what would be done and written, do nothing"),
            Option("--force", "", "compute again what is already done"),
            Option("--reports-only", "", "write the pages again from what is there",
                   PARTICIPANT + GROUP),
            Option("--clean-workdir", "", "remove what this run made in the work"
                   " folder, when done"),
            Option("--verbose", "", "say more; twice for all", aliases=("-v",)),
        ),
    ),
)  # fmt: skip


def every() -> Iterator[Option]:
    """Yield every option in the order of the help text."""
    for _, options in GROUPS:
        yield from options


def _walk(kind: Any, path: str = "") -> Iterator[tuple[str, Field[Any]]]:
    for known in fields(kind):
        if is_dataclass(known.type):
            yield from _walk(known.type, f"{path}{known.name}.")
        else:
            yield f"{path}{known.name}", known


def settings() -> dict[str, tuple[str, Field[Any]]]:
    """Return, for each option, the path of its setting in Config and the field.

    Examples
    --------
    >>> settings()["--cv"][0], settings()["--cv"][1].default
    ('folds.scheme', 'kfold')
    """
    found: dict[str, tuple[str, Field[Any]]] = {}
    for path, known in _walk(Config):
        found.setdefault(known.metadata.get("option", path), (path, known))
    return found


def is_many(known: Field[Any]) -> bool:
    """Return whether a setting takes several values."""
    return get_origin(known.type) is tuple


def takes_many(option: Option, known: Field[Any]) -> bool:
    """Return whether an option takes several words; --derivatives has three places."""
    return is_many(known) or option.name == "--derivatives"


def is_number(known: Field[Any], kind: type) -> bool:
    """Return whether a setting is an int, or a float, or may be None."""
    return known.type is kind or kind in get_args(known.type)


def listed(option: str) -> tuple[str, ...]:
    """Return what an option knows by name, found by listing a folder."""
    folders = {"--atlases": "atlases", "--denoise-strategy": "strategies"}
    packages = {"--features": "bidsclf.features", "--models": "bidsclf.models"}
    if option in packages:
        return names(packages[option])
    return data_names(folders[option]) if option in folders else ()
