"""Harmonization at the embedding: cross-fitted networks, ComBat, linear heads.

A network's embeddings of the people it was fitted to are overfitted, while those of
test people are not: what ComBat learns of the former does not transfer. So training
people are dealt into parts; a network learns without one part, and its harmonizer
and head learn from the embeddings of that part, which it has never seen.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from bidsclf.crossval import dealing
from bidsclf.crossval.fitted import person_means
from bidsclf.crossval.members import (
    KNOWN,
    NONE,
    Crossfitted,
    Member,
    embedded,
    joined,
)
from bidsclf.crossval.recipe import Recipe, begun
from bidsclf.crossval.result import FitResult
from bidsclf.crossval.rows import (
    Parts,
    by_content,
    n_outside,
    of_fold,
    of_rows,
    split_traits,
    tell_sites,
)
from bidsclf.errors import BidsclfError, InputError
from bidsclf.evaluate.calibration import temperature
from bidsclf.folds import Fold
from bidsclf.harmonize._base import make, with_policy
from bidsclf.models._base import Classifier, find
from bidsclf.models._head import COST, LinearHead
from bidsclf.models._rows import take

CERTAIN = 1e-12  # from 0 and 1, a score's distance where its log odds are taken; ours


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """All rows of a study, and the part of the training rows that each is in.

    Attributes
    ----------
    x : rows of features
    y, groups : int arrays of shape (n_rows,)
    traits : DataFrame of shape (n_rows, ...)
    parts : Parts
        ``learn`` and ``stop`` ordered by content; ``learn`` may repeat.
    part_of : int array of shape (n_rows,)
        Below ``N_PARTS``; -1 for a row that is not learned from.
    """

    x: Any
    y: np.ndarray
    groups: np.ndarray
    traits: pd.DataFrame
    parts: Parts
    part_of: np.ndarray

    def known(self, rows: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
        """Return sites and covariates of rows."""
        return split_traits(of_rows(self.traits, rows))


@dataclass(frozen=True, slots=True, eq=False)
class _Voted:
    """A member, and its scores of stop and test rows; NaN where it cannot tell."""

    member: Member
    stop: np.ndarray
    test: np.ndarray
    before: np.ndarray
    handling: np.ndarray
    notes: dict[str, Any]


def cross_fit(
    x: Any,
    y: np.ndarray,
    rows: np.ndarray,
    fold: Fold,
    recipe: Recipe,
    traits: pd.DataFrame | None,
) -> FitResult:
    """Fit the networks of a fold, harmonize their embeddings, score test people.

    Each network embeds a part of the training people, the people who stop the
    training and the test people, each row once. ``before`` are heads on the very
    same embeddings without a harmonizer. The temperature is found on people who
    stop the training, of sites that all members learned: they chose the epochs,
    so it is optimistic, as it is of a network alone.

    Parameters
    ----------
    x, y, rows, fold, recipe, traits
        As for ``fit_fold``.

    Raises
    ------
    InputError
        Nobody's site is known, or a part has too few people of a site or a class.
    """
    study = _study(x, y, rows, fold, recipe, traits)
    voted = [_voted(study, fold, recipe, k) for k in range(dealing.N_PARTS)]
    found = Crossfitted(
        members=tuple(one.member for one in voted),
        covariates=tuple(split_traits(study.traits)[1]),
        temperature=_temperature(study, voted),
    )
    test = rows[study.parts.test]
    votes = ([one.test for one in voted], [one.before for one in voted])
    scores, before = (
        person_means(np.mean(each, axis=0), test, len(y))[fold.test] for each in votes
    )
    handled = np.full(len(y), NONE, object)
    handled[test] = joined([one.handling for one in voted])
    notes = {
        "members": [one.notes for one in voted],
        "temperature": found.temperature,
        "outside": n_outside(found.harmonizers, traits, fold.test),
    }
    told, handling = found.probabilities(scores), handled[fold.test]
    return FitResult(scores, told, handling, found, notes, before)


def _study(
    x: Any,
    y: np.ndarray,
    rows: np.ndarray,
    fold: Fold,
    recipe: Recipe,
    traits: pd.DataFrame | None,
) -> _Rows:
    """Deal the people who are learned from into parts, whatever their order."""
    if traits is None:
        raise InputError(
            f"--harmonize {recipe.harmonize.method} needs the site of everyone and"
            " there is none. Check --site-column."
        )
    parts = of_fold(rows, fold, needs_valid=find(recipe.variant).needs_valid)
    parts = replace(
        parts,
        learn=_ordered(x, y, rows, parts.learn, traits),
        stop=_ordered(x, y, rows, parts.stop, traits),
    )
    _, first = np.unique(rows[parts.learn], return_index=True)
    people = rows[parts.learn][np.sort(first)]  # each once, by their first row
    groups = np.arange(len(y))
    if "group" in traits:
        groups = traits["group"].to_numpy(int)
    sites = traits["site"].to_numpy(object)[people]
    dealt = dealing.dealt(groups[people], sites, y[people], seed=recipe.seed_of(fold))
    dealing.check(dealt, sites, y[people], recipe.harmonize.unseen or "refuse")
    part_of = np.full(len(y), -1)
    part_of[people] = dealt
    return _Rows(x, y[rows], groups[rows], of_rows(traits, rows), parts, part_of[rows])


def _ordered(
    x: Any,
    y: np.ndarray,
    rows: np.ndarray,
    which: np.ndarray,
    traits: pd.DataFrame,
) -> np.ndarray:
    """Return rows by content, as often as they were given."""
    once, times = np.unique(which, return_counts=True)
    people = rows[once]
    order = by_content(take(x, once), of_rows(traits, people), y[people])
    return np.repeat(once[order], times[order])


def _voted(study: _Rows, fold: Fold, recipe: Recipe, part: int) -> _Voted:
    """Fit the member of a part; an error names the part."""
    try:
        model = begun(find(recipe.variant), recipe, fold, member=part + 1)
        _learn(model, study, part)
        return _finished(model, study, recipe, part)
    except BidsclfError as error:
        where = f"part {part + 1} of {dealing.N_PARTS}"
        raise type(error)(f"{where}: {error}") from error


def _learn(model: Classifier, study: _Rows, part: int) -> None:
    """Fit a network on all training rows but those of a part."""
    learn, stop = study.parts.learn, study.parts.stop
    learn = learn[study.part_of[learn] != part]
    valid = (take(study.x, stop), study.y[stop]) if len(stop) else None
    tell_sites(model, study.traits, learn)
    model.fit(take(study.x, learn), study.y[learn], valid, people=study.groups[learn])


def _finished(model: Classifier, study: _Rows, recipe: Recipe, part: int) -> _Voted:
    """Learn a harmonizer and heads from a part's embeddings; score the others."""
    own = study.parts.learn[study.part_of[study.parts.learn] == part]
    once, at = _once(own)
    made = embedded(model, take(study.x, once))[at]
    y, known = study.y[own], study.known(own)
    harmonizer = make(recipe.harmonize, recipe.missing).fit(made, *known)
    head = LinearHead().fit(harmonizer.apply(made, *known), y)
    plain = LinearHead().fit(made, y)
    member = Member(model, harmonizer, head)
    test, (sites, covariates) = study.parts.test, study.known(study.parts.test)
    scores = before = np.empty(0)
    handling = np.empty(0, object)
    if len(test):
        made = embedded(model, take(study.x, test))
        scores = member.score(made, sites, covariates)
        before, handling = plain.score(made), harmonizer.handling(sites)
    notes = model.notes() | {
        "n_rows_held_out": len(once),
        "head": {"cost": COST, "n_features": made.shape[1]},
        "harmonizer": harmonizer.notes(),
    }
    stop = _of_stop(member, study)
    return _Voted(member, stop, scores, before, handling, notes)


def _once(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row once, in order, and where each of the given rows is in it."""
    found, first, at = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return found[order], np.argsort(order)[at]


def _of_stop(member: Member, study: _Rows) -> np.ndarray:
    """Return scores of rows that stop the training; NaN if of a site not learned."""
    stop, _ = _once(study.parts.stop)
    sites, covariates = study.known(stop)
    scores = np.full(len(stop), np.nan)
    if not len(stop):
        return scores
    handling = with_policy(member.harmonizer, "identity").handling(sites)
    is_known = handling == KNOWN
    if is_known.any():
        made = embedded(member.model, take(study.x, stop))[is_known]
        scores[is_known] = member.score(made, sites[is_known], covariates[is_known])
    return scores


def _temperature(study: _Rows, voted: list[_Voted]) -> float | None:
    """Return the temperature of rows that stop the training; None without any."""
    rows, _ = _once(study.parts.stop)
    scores, truth = np.mean([one.stop for one in voted], axis=0), study.y[rows]
    is_told = np.isfinite(scores)
    if len(np.unique(truth[is_told])) < 2:
        return None
    odds = logit(np.clip(scores[is_told], CERTAIN, 1 - CERTAIN))
    order = np.lexsort((truth[is_told], odds))
    return float(temperature(odds[order], truth[is_told][order]))
