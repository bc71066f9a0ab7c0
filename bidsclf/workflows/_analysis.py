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

ABOUT = "analysis.json"
TABLES = ("cohort", "folds", "predictions", "metrics", "comparisons")
SETTINGS = ("cohort", "folds", "analysis")  # parts that change a result
OUTPUT = "bidsclf analyses"  # name of an output folder that holds nothing else
README = """# {name}

Written by bidsclf. Each table has a JSON file beside it that explains its columns.

- `cohort.tsv`, `folds.tsv`: who was studied, and how they were split
- `predictions.tsv`: every score; metrics and comparisons can be computed from it
- `metrics.tsv`, `comparisons.tsv`: how well each model does, and against another
- `models/`: the fitted models; `final` learned from everyone
- `analysis.json`: command, settings and versions; `report.html`: the page to read

This is not a medical device.
"""
COLUMNS = {
    "participant_id": "Label of the participant",
    "site": "Site of acquisition",
    "model": "Model, as --models names it",
    "repeat": "Repeat of the cross-validation, from 1",
    "fold": "Fold within the repeat, from 1",
    "part": "What the fold uses the person for: train, valid or test",
    "truth": "1 for the positive label, 0 for the other",
    "score": "Score of the positive label in [0, 1]; 0.5 is the decision boundary;"
    " not a calibrated probability",
    "label": "The label's name",
    "included": "Whether the person was studied: yes or no",
    "reason": "Why the person was not studied",
    "y": "1 for the positive label, 0 for the other",
    "n_runs": "Runs that were read",
    "n_missing_regions": "Regions without signal in any run",
    "scope": "pooled over folds, one site, one fold, or the mean of folds",
    "group": "The site; or repeat/fold; or all",
    "metric": "Name of the metric",
    "estimate": "Value of the metric",
    "sd": "Standard error (pooled, site) or deviation over folds",
    "low": "Lower end of the 95 % interval",
    "high": "Upper end of the 95 % interval",
    "method": "How the interval was found: delong, bootstrap or none",
    "n": "People",
    "n_positive": "People with the positive label",
    "model_a": "First model",
    "model_b": "Second model",
    "difference": "AUC of the first less AUC of the second",
    "p": "p value of the difference",
    "p_holm": "p value, corrected for all pairs by Holm's method",
    "test": "Name of the test",
}


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
        return bool(about.get("finished")) and not about.get("failed") and is_whole
    same = about.get("settings") == settings_of(config)
    raise ConfigError(
        f"{folder} holds an analysis made"
        f" {'of other people or features' if same else 'with other settings'}."
        " Name another with --analysis-id, or give --force to replace it."
    )


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
        Of columns that mean something else here than in ``COLUMNS``.
    """
    known = COLUMNS | dict(words or {})
    described = {name: {"Description": known.get(name, name)} for name in table}
    store.write_json(path.with_suffix(".json"), described)
    return store.write_table(path, table)
