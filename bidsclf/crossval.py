"""The one place where training rows meet a model, and what is kept of it."""

import tempfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from bidsclf import __version__
from bidsclf.errors import BidsclfError, InputError
from bidsclf.files.store import read_json, write_json
from bidsclf.folds import Fold
from bidsclf.models._base import Classifier, find
from bidsclf.models._rows import take

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
VERSIONED = ("numpy", "scipy", "scikit-learn", "torch", "safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is fitted.

    Attributes
    ----------
    variant : str
        As ``--models`` names it.
    seed : int
        Root of the run; the fit's own seed also depends on repeat, fold, variant.
    device : {'cpu', 'cuda'}
    """

    variant: str
    seed: int = 0
    device: str = "cpu"

    def seed_of(self, fold: Fold) -> int:
        """Return the seed of one fit; no other fit of the run shares it."""
        name = int.from_bytes(self.variant.encode(), "big")
        mixed = np.random.SeedSequence([self.seed, fold.repeat, fold.fold, name])
        return int(mixed.generate_state(1)[0]) & 0x7FFFFFFF


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """A fitted model and what it says of the test people.

    Attributes
    ----------
    scores : float64 array of shape (n_test_people,)
        In the order of ``fold.test``; the mean over a person's rows.
    model : Classifier
    notes : dict
        What the fit chose (C, epochs, …), as JSON values.
    """

    scores: np.ndarray
    model: Classifier
    notes: dict[str, Any] = field(default_factory=dict)


def fit_fold(
    x: Any, y: np.ndarray, rows: np.ndarray, fold: Fold, recipe: Recipe
) -> FitResult:
    """Fit a model on the training people of a fold and score the test people.

    Parameters
    ----------
    x : rows of features
        What the variant's ``prepare`` returned, of length n_rows.
    y : int array of shape (n_people,), 0 or 1
    rows : int array of shape (n_rows,)
        The person of each row; a person may have several.
    fold : Fold
    recipe : Recipe

    Returns
    -------
    result : FitResult

    Raises
    ------
    BidsclfError
        Of the kind that the model raised, saying which model and fold.
    """
    if len(x) != len(rows):
        raise InputError(
            f"{len(x)} rows of features and {len(rows)} rows in the cohort;"
            " the two are read together. Build the cohort again."
        )
    variant = find(recipe.variant)
    model = variant.make(seed=recipe.seed_of(fold), device=recipe.device)
    learn, stop = fold.train, fold.valid
    if not variant.needs_valid:
        learn, stop = np.concatenate([learn, stop]), stop[:0]
    learn_rows, stop_rows = _rows_of(learn, rows), _rows_of(stop, rows)
    valid = (take(x, stop_rows), y[rows[stop_rows]]) if len(stop) else None
    try:
        model.fit(
            take(x, learn_rows), y[rows[learn_rows]], valid, people=rows[learn_rows]
        )
        test_rows = _rows_of(fold.test, rows)
        scores = predict_people(model, take(x, test_rows), rows[test_rows], len(y))
    except BidsclfError as error:
        where = f"{recipe.variant}, repeat {fold.repeat}, fold {fold.fold}"
        raise type(error)(f"{where}: {error}") from error
    return FitResult(scores[fold.test], model, model.notes())


def predict_people(
    model: Classifier, x: Any, rows: np.ndarray, n_people: int
) -> np.ndarray:
    """Return the mean score of each person's rows, NaN for who has none.

    Parameters
    ----------
    model : Classifier
    x : rows of features, of length n_rows
    rows : int array of shape (n_rows,)
        The person of each row, below ``n_people``.
    n_people : int

    Returns
    -------
    scores : float64 array of shape (n_people,)
    """
    scores = model.predict_score(x) if len(rows) else np.empty(0)
    counts = np.bincount(rows, minlength=n_people)
    sums = np.bincount(rows, weights=scores, minlength=n_people)
    return np.divide(sums, counts, out=np.full(n_people, np.nan), where=counts > 0)


def save_bundle(
    folder: Path, model: Classifier, *, variant: str, context: dict[str, Any]
) -> Path:
    """Write a model that can be used elsewhere; model.json last, so it is whole.

    Parameters
    ----------
    folder : Path
        Created; an earlier bundle in it is replaced.
    model : Classifier
        Fitted.
    variant : str
    context : dict
        JSON values: labels, the features and how they were made, who was
        trained on.

    Returns
    -------
    path : Path
        Of model.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        settings = model.save(Path(partial))
        (Path(partial) / WEIGHTS).replace(folder / WEIGHTS)
    described = {
        "variant": variant,
        "settings": settings,
        "context": context,
        "versions": {"bidsclf": __version__} | {p: version(p) for p in VERSIONED},
    }
    return write_json(folder / DESCRIPTION, described)


def load_bundle(folder: Path) -> tuple[Classifier, dict[str, Any]]:
    """Return the model of ``save_bundle`` and all that model.json says.

    Raises
    ------
    InputError
        A file of the bundle is missing or does not belong to it.
    ConfigError
        The bundle holds a model that this version does not know.
    """
    for name in (DESCRIPTION, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} has no {name}; a model bundle holds {WEIGHTS} and"
                f" {DESCRIPTION}. Give --model the folder of one model,"
                " such as models/fc-svm/final."
            )
    described = read_json(folder / DESCRIPTION)
    try:
        model = find(described["variant"]).make()
        model.load(folder, described["settings"])
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise InputError(
            f"{folder}: {DESCRIPTION} and {WEIGHTS} are not of one model"
            f" ({error!r}). Fit the model again."
        ) from error
    return model, described


def _rows_of(people: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isin(rows, people))
