"""The folder of one analysis: whose it is, and what its columns mean."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.checks import to_plain
from bidsclf.config import Config
from bidsclf.dataset import why_not_ours
from bidsclf.errors import ConfigError, InputError
from bidsclf.files import derivatives, status, store
from bidsclf.workflows import _run
from bidsclf.workflows._columns import COLUMNS, WORDS

ABOUT = "analysis.json"
FIRST = ("cohort", "folds", "traits")  # tables written before anything is fitted
TABLES = ("cohort", "folds", "predictions", "metrics")  # without which no page is drawn
TEXT = ("participant_id", "site", "model", "group", "sex")  # columns kept as text
SETTINGS = ("cohort", "folds", "harmonize", "analysis")  # parts that change a result
OUTPUT = "bidsclf analyses"  # name of an output folder that holds nothing else
README = """# {name}

Written by bidsclf. Each table has a JSON file beside it that explains its columns.

- `cohort.tsv`, `folds.tsv`: who was studied and who not, and how they were split
- `source.tsv`: people outside the study, from whom some models learned first
- `traits.tsv`: site, age, sex, motion and covariates of who was studied
- `predictions.tsv`: every score; the tables below follow from it
- `metrics.tsv`, `comparisons.tsv`: how well each model does, and against another
- `permutations.tsv`, `nulls.tsv`: against permuted labels
- `calibration.tsv`: how far a score is a probability
- `experiment.tsv`, `roc.tsv`: over the splits
- `confounds.tsv`: whether scores follow motion or age
- `embedding.tsv`: accuracy and AUC before and after embeddings were harmonized
- `sites.tsv`, `site_map.tsv`, `qcfc.tsv`: what site and motion leave in the features,
  before and after harmonization
- `maps.tsv`, `maps/`: where networks of volumes look
- `latents.tsv`, `latent/`: where people lie in the latent spaces of models that have
  some, and images of them with and without the salient part; of the model of everyone,
  and of each person by a network that never saw them
- `rsa.tsv`, `silhouette.tsv`: which traits of patients lie in these spaces;
  `mixture.tsv`: how many kinds of patients; `plane.tsv`: pictures
- `models/`: the fitted models, one a fold; `final` learned from everyone, and is the
  only one that is kept of a bootstrap
- `analysis.json`: command, settings and versions; `report.html`: the page to read

A table that was not asked for, or that failed, is absent; `analysis.json` has the
reason. This is not a medical device.
"""


def seam(config: Config) -> Path:
    """Return where seam 1 is: the output, or the input if the output has none."""
    has_own = any(config.output_dir.glob("sub-*"))
    return config.output_dir if has_own else config.bids_dir


def folder_of(config: Config) -> Path:
    """Return ``OUT/derivatives/<analysis>``."""
    return config.output_dir / "derivatives" / config.analysis.analysis_id


def settings_of(config: Config) -> dict[str, Any]:
    """Return the settings that change a result."""
    plain = to_plain(config)
    return {"level": config.level} | {name: plain[name] for name in SETTINGS}


def check_drawable(config: Config) -> None:
    """Refuse to draw the page of an analysis that is not there or not whole.

    Raises
    ------
    InputError
        What is missing, and what makes it.
    """
    folder = folder_of(config)
    names = (*(f"{name}.tsv" for name in TABLES), ABOUT)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing or "finished" not in store.read_json(folder / ABOUT):
        what = f"has no {', '.join(missing)}" if missing else "is not finished"
        raise InputError(
            f"--reports-only: {folder} {what}, so there is no page to draw again."
            " Give the --analysis-id of one that is finished, or leave out"
            " --reports-only."
        )


def key_of(config: Config, people: pd.DataFrame, files: list[Path]) -> str:
    """Return a hash of the settings, the people and the files that are read."""
    table = people.to_json(orient="split")
    return status.unit_key(settings_of(config) | {"people": table}, files)


def is_done(config: Config, key: str, names: Iterable[str]) -> bool:
    """Tell whether the analysis stands already, whole.

    Parameters
    ----------
    config : Config
    key : str
        From ``key_of``.
    names : iterable of str
        Files without which it is not whole, in its folder.

    Raises
    ------
    ConfigError
        It stands there with other settings or people, and without ``--force``;
        or another program's dataset does.
    """
    folder = folder_of(config)
    _check_ours(folder)
    if config.run.force or not (folder / ABOUT).exists():
        return False
    about = store.read_json(folder / ABOUT)
    if about.get("key") == key:
        is_whole = all((folder / name).is_file() for name in names)
        has_failed = about.get("failed") or about.get("failed_tables")
        return bool(about.get("finished")) and not has_failed and is_whole
    same = about.get("settings") == settings_of(config)
    raise ConfigError(
        f"{folder} holds an analysis made"
        f" {'of other people or features' if same else 'with other settings'}."
        " Name another with --analysis-id, or give --force to replace it."
    )


def interpreted_with(config: Config) -> dict[str, Any]:
    """Return what models are explained with, on which no fit depends."""
    return {k: v for k, v in to_plain(config.interpret).items() if v}


def interpreting_files(config: Config) -> dict[str, dict[str, list[int]]]:
    """Return size and time of change, in ns, of the files that explain models.

    Of an image, all files beside it whose names begin as its own does, so its table
    too; of a folder, all files in it.
    """
    found = {}
    given = interpreted_with(config).items()
    for name, path in ((k, v) for k, v in given if isinstance(v, str)):
        files = Path(path).iterdir() if Path(path).is_dir() else _beside(Path(path))
        told = {one.name: one.stat() for one in sorted(files) if one.is_file()}
        found[name] = {one: [s.st_size, s.st_mtime_ns] for one, s in told.items()}
    return found


def _beside(path: Path) -> list[Path]:
    stem = path.name.partition(".")[0]
    around = path.parent.iterdir() if path.parent.is_dir() else ()
    return [one for one in around if one.name.partition(".")[0] == stem]


def note_interpretation(config: Config, *, is_made: bool = True) -> bool:
    """Write into analysis.json what the models are explained with, and its files.

    Parameters
    ----------
    config : Config
    is_made : bool
        Whether the tables are of it by now; else the next call finds it new again.

    Returns
    -------
    bool
        Whether it was something else before, or a file has changed, so that tables
        and page are made again.
    """
    path = folder_of(config) / ABOUT
    known = store.read_json(path)
    asked: dict[str, Any] = {"interpret": interpreted_with(config)}
    asked["interpret_files"] = interpreting_files(config)
    is_new = any(known.get(name, {}) != value for name, value in asked.items())
    if is_new:
        unmade = {} if is_made else {"interpret_files": None}
        store.write_json(path, known | asked | unmade)
    return is_new


def _check_ours(folder: Path) -> None:
    if why := why_not_ours(folder):
        raise ConfigError(f"--analysis-id {folder.name}: {why}")


def open_folder(config: Config, about: dict[str, Any]) -> Path:
    """Make the folder a derivative dataset, and say whose it is.

    With ``--force`` an analysis that stands there goes first.
    """
    folder = folder_of(config)
    if config.run.force and (folder / ABOUT).exists():
        shutil.rmtree(folder)
    if not (config.output_dir / "dataset_description.json").exists():
        derivatives.write_roots(config.output_dir, derivatives.Roots(name=OUTPUT))
    name = f"bidsclf {config.level}: {config.analysis.analysis_id}"
    derivatives.write_roots(folder, derivatives.Roots(name=name))
    store.write_text(folder / "README.md", README.format(name=name))
    store.write_json(folder / ABOUT, about)
    return folder


def about(run: _run.Run, key: str, labels: Mapping[Any, str]) -> dict[str, Any]:
    """Return the beginning of analysis.json."""
    return {
        "analysis_id": run.config.analysis.analysis_id,
        "target": run.config.cohort.target,
        "labels": {str(value): label for value, label in labels.items()},
        "command": run.command,
        "started": run.started.isoformat(),
        "version": _run.__version__,
        "versions": _run.versions(),
        "settings": settings_of(run.config),
        "key": key,
    }


def write_table(
    path: Path, table: pd.DataFrame, words: Mapping[str, str] | None = None
) -> Path:
    """Write a table and the JSON file that describes its columns.

    Parameters
    ----------
    path : Path
    table : DataFrame
    words : mapping or None
        Of columns that mean something else here than elsewhere.
    """
    known = {**COLUMNS, **WORDS.get(path.stem, {}), **(words or {})}
    described = {
        name: {"Description": known.get(name, name)} | table.attrs.get(str(name), {})
        for name in table
    }
    store.write_json(path.with_suffix(".json"), described)
    return store.write_table(path, table)
