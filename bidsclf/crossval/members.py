"""Networks, each with what harmonizes its embeddings, that vote on a person."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.errors import InputError
from bidsclf.evaluate.calibration import scaled
from bidsclf.harmonize._base import Harmonizer, with_policy
from bidsclf.models._base import Classifier
from bidsclf.models._head import LinearHead
from bidsclf.models._rows import check_finite

KNOWN, NONE = "site", "none"  # handling of a site that was learned, of nobody


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A network, and what was learned on embeddings of people it never saw.

    Embeddings of two networks are of two spaces: a harmonizer and a head are of
    one network, and stay with it.

    Attributes
    ----------
    model : Classifier
        Has ``embed``.
    harmonizer : Harmonizer
    head : LinearHead
        On harmonized embeddings.
    """

    model: Classifier
    harmonizer: Harmonizer
    head: LinearHead

    def score(
        self, embedded: np.ndarray, sites: np.ndarray, covariates: pd.DataFrame
    ) -> np.ndarray:
        """Return the score of class 1 of embeddings, float64 of shape (n_rows,)."""
        return self.head.score(self.harmonizer.apply(embedded, sites, covariates))


@dataclass(frozen=True, slots=True, eq=False)
class Crossfitted:
    """Members whose mean score is the model's.

    Attributes
    ----------
    members : tuple of Member
        One a part of the training people.
    covariates : tuple of str
        Columns that the harmonizers ask for, beside the site.
    temperature : float or None
        Makes probabilities of scores; None leaves them as they are.
    """

    members: tuple[Member, ...]
    covariates: tuple[str, ...] = ()
    temperature: float | None = None

    @property
    def models(self) -> tuple[Classifier, ...]:
        """The networks."""
        return tuple(member.model for member in self.members)

    @property
    def harmonizers(self) -> tuple[Harmonizer, ...]:
        """What harmonizes the embeddings of each."""
        return tuple(member.harmonizer for member in self.members)

    def with_policy(self, unseen: str | None) -> "Crossfitted":
        """Return a copy that treats unseen sites otherwise; None keeps the policy."""
        changed = [
            replace(one, harmonizer=with_policy(one.harmonizer, unseen))
            for one in self.members
        ]
        return replace(self, members=tuple(changed))

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Return scores after temperature scaling, shape as given."""
        return scores if self.temperature is None else scaled(scores, self.temperature)

    def score_rows(
        self, x: Any, sites: np.ndarray, covariates: pd.DataFrame
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed, harmonize and score rows.

        Returns
        -------
        scores : float64 array of shape (n_rows,)
            The mean over the members.
        handling : object array of shape (n_rows,)
            See ``joined``.
        """
        handling = joined([one.handling(sites) for one in self.harmonizers])
        scores = [
            one.score(embedded(one.model, x), sites, covariates) for one in self.members
        ]
        return np.mean(scores, axis=0), handling


def embedded(model: Classifier, x: Any) -> np.ndarray:
    """Return the embeddings of rows, a float array of shape (n_rows, d).

    Raises
    ------
    InputError
        A number is not finite, or there is not one row of numbers a row.
    """
    found: np.ndarray = model.embed(x)  # type: ignore[attr-defined]
    if found.ndim != 2 or len(found) != len(x):
        raise InputError(
            f"embeddings of shape {found.shape} of {len(x)} rows; expected a row of"
            " numbers each. This is a fault of the model's embed: report it."
        )
    check_finite(found, "embeddings")
    return found


def joined(handled: list[np.ndarray]) -> np.ndarray:
    """Return what harmonization did to each row in the members taken together.

    'site' where every member had learned the site, else what was done by those
    that had not.

    Examples
    --------
    >>> one = np.array(["site", "site"], object)
    >>> joined([one, np.array(["site", "identity"], object)])
    array(['site', 'identity'], dtype=object)
    """
    found = np.array(handled[0], object)
    for one in handled[1:]:
        found = np.where(one != KNOWN, one, found)
    return found
