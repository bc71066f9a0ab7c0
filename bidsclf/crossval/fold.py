"""One fold: training people teach, test people are scored, and labels permuted."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.crossval.embedding import cross_fit
from bidsclf.crossval.fitted import Fitted, predict_people
from bidsclf.crossval.members import NONE
from bidsclf.crossval.recipe import Recipe, begun, is_crossfitted, is_harmonized
from bidsclf.crossval.result import FitResult
from bidsclf.crossval.rows import (
    Ready,
    as_they_are,
    harmonized,
    n_outside,
    of_fold,
    of_rows,
    split_traits,
    tell_sites,
)
from bidsclf.errors import BidsclfError, InputError
from bidsclf.evaluate.calibration import temperature
from bidsclf.folds import Fold
from bidsclf.models._base import Classifier, find
from bidsclf.models._rows import take


def fit_fold(
    x: Any,
    y: np.ndarray,
    rows: np.ndarray,
    fold: Fold,
    recipe: Recipe,
    *,
    traits: pd.DataFrame | None = None,
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
        A person drawn several times into ``fold.train`` counts as often.
    recipe : Recipe
    traits : DataFrame of shape (n_people, ...) or None
        ``site`` and the covariates of a harmonizer; ``group`` numbers families,
        whom inner folds keep together.

    Returns
    -------
    result : FitResult

    Raises
    ------
    BidsclfError
        Of the kind that was raised, saying which model and fold.
    """
    with _named(recipe, fold):
        _check_lengths(x, rows)
        if is_crossfitted(recipe.variant, recipe.harmonize):
            return cross_fit(x, y, rows, fold, recipe, traits)
        model = begun(find(recipe.variant), recipe, fold)
        ready = _ready(x, rows, fold, recipe, traits)
        people, part = rows[ready.source], ready.parts
        tell_sites(model, traits, people[part.learn])
        _learn(model, ready, y[people], _groups(traits, len(y))[people])
        test = people[part.test]
        x_test = take(ready.x, part.test)
        scores = predict_people(model, x_test, test, len(y))[fold.test]
        fitted = Fitted(
            model, ready.harmonizer, _covariates(ready, traits), _temperature(model)
        )
    handled = np.full(len(y), NONE, object)
    if ready.handling is not None:
        handled[test] = ready.handling
    notes = model.notes() | {"temperature": fitted.temperature}
    if ready.harmonizer is not None:
        notes["harmonizer"] = ready.harmonizer.notes()
        notes["outside"] = n_outside([ready.harmonizer], traits, fold.test)
    told, handling = fitted.probabilities(scores), handled[fold.test]
    return FitResult(scores, told, handling, fitted, notes)


def permute_fold(
    x: Any,
    labels: np.ndarray,
    rows: np.ndarray,
    fold: Fold,
    recipe: Recipe,
    *,
    traits: pd.DataFrame | None = None,
) -> np.ndarray:
    """Fit anew for each vector of labels, and score the test people each time.

    The whole fit is repeated, choices by inner folds included. A harmonizer of the
    input knows no label and is learned once; one of embeddings, which labels taught,
    is learned each time.

    Parameters
    ----------
    x, rows, fold, recipe, traits
        As for ``fit_fold``.
    labels : int array of shape (m, n_people), 0 or 1

    Returns
    -------
    scores : float64 array of shape (m, n_test_people)
        In the order of ``fold.test``.

    Raises
    ------
    BidsclfError
        As ``fit_fold``.
    """
    n_people = labels.shape[1]
    with _named(recipe, fold):
        _check_lengths(x, rows)
        if is_crossfitted(recipe.variant, recipe.harmonize):
            each = [cross_fit(x, y, rows, fold, recipe, traits) for y in labels]
            refit = np.array([one.scores for one in each])
            return refit.reshape(len(labels), len(fold.test))
        ready = _ready(x, rows, fold, recipe, traits)
        people, part = rows[ready.source], ready.parts
        groups = _groups(traits, n_people)[people]
        told = labels[:, people]
        first = begun(find(recipe.variant), recipe, fold)
        scores = _at_once(first, ready, told, groups)
        if scores is None:
            scores = np.empty((len(labels), len(part.test)))
            for at, y in enumerate(told):
                model = copy.deepcopy(first)
                tell_sites(model, traits, people[part.learn])
                _learn(model, ready, y, groups)
                scores[at] = model.predict_score(take(ready.x, part.test))
    return _means(scores, people[part.test], n_people)[:, fold.test]


def _ready(
    x: Any,
    rows: np.ndarray,
    fold: Fold,
    recipe: Recipe,
    traits: pd.DataFrame | None,
) -> Ready:
    """Return the rows of a fold as its model takes them."""
    needs_valid = find(recipe.variant).needs_valid
    parts = of_fold(rows, fold, needs_valid=needs_valid)
    if not is_harmonized(recipe.variant, recipe.harmonize):
        return as_they_are(x, parts)
    if traits is None:
        raise InputError(
            f"--harmonize {recipe.harmonize.method} needs the site of everyone and"
            " there is none. Check --site-column."
        )
    of = of_rows(traits, rows)
    return harmonized(x, parts, of, recipe.harmonize, recipe.missing)


def _check_lengths(x: Any, rows: np.ndarray) -> None:
    if len(x) != len(rows):
        raise InputError(
            f"{len(x)} rows of features and {len(rows)} rows in the cohort;"
            " the two are read together. Build the cohort again."
        )


def _learn(model: Classifier, ready: Ready, y: np.ndarray, groups: np.ndarray) -> None:
    """Fit a model; ``y`` and ``groups`` are of the rows of ``ready``."""
    learn, stop = ready.parts.learn, ready.parts.stop
    valid = (take(ready.x, stop), y[stop]) if len(stop) else None
    model.fit(take(ready.x, learn), y[learn], valid, people=groups[learn])


def _at_once(
    model: Classifier, ready: Ready, labels: np.ndarray, groups: np.ndarray
) -> np.ndarray | None:
    """Return null scores the model's own fast way, None where it has none."""
    fast = getattr(model, "null_scores", None)
    if fast is None:
        return None
    part = ready.parts
    scores: np.ndarray | None = fast(ready.x, part.learn, part.test, labels, groups)
    return scores


def _temperature(model: Classifier) -> float | None:
    """Return the temperature of the rows that training held out."""
    offered = getattr(model, "held_out", lambda: None)()
    if offered is None:
        return None
    logits, truth = offered
    order = np.lexsort((truth, logits))  # sums do not see the order of people
    return float(temperature(logits[order], truth[order]))


def _groups(traits: pd.DataFrame | None, n_people: int) -> np.ndarray:
    if traits is None or "group" not in traits:
        return np.arange(n_people)
    return traits["group"].to_numpy(int)


def _covariates(ready: Ready, traits: pd.DataFrame | None) -> tuple[str, ...]:
    if ready.harmonizer is None or traits is None:
        return ()
    return tuple(split_traits(traits)[1])


def _means(scores: np.ndarray, people: np.ndarray, n_people: int) -> np.ndarray:
    """Return the mean over the rows of each person, of shape (m, n_people)."""
    sums = np.zeros((n_people, len(scores)))
    np.add.at(sums, people, scores.T)
    counts = np.bincount(people, minlength=n_people)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = (sums / counts[:, None]).T
    return means


@contextmanager
def _named(recipe: Recipe, fold: Fold) -> Iterator[None]:
    """Say in an error which model and fold it was."""
    try:
        yield
    except BidsclfError as error:
        where = f"{recipe.variant}, repeat {fold.repeat}, fold {fold.fold}"
        raise type(error)(f"{where}: {error}") from error
