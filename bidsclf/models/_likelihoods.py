"""Log-likelihoods of regions as features: of people held out, and of new people."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from bidsclf.models._hmm import Chains, begin, learn, log_likelihood
from bidsclf.models._rows import Series
from bidsclf.models._sequences import Sequences

BLOCK = 64  # regions whose padded series are in memory at once; ours
CONTINUE = 5  # of a start that is near, EM takes a fifth of the steps; ours
Split = tuple[np.ndarray, np.ndarray]  # learned rows, rows held out


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihoods:
    """How models are learned, and what they say of a person.

    Rows come with the longest series first.

    Attributes
    ----------
    regions : int array of shape (R,)
        Columns of the series that are used.
    per_class : bool
        One model a class and region instead of one.
    n_iter : int
    tol : float
    """

    regions: np.ndarray
    per_class: bool
    n_iter: int
    tol: float

    def cross_fit(
        self, x: Series, y: np.ndarray, splits: list[Split], states: list[int]
    ) -> tuple[np.ndarray, list[list[Chains]]]:
        """Describe rows by models that had not seen them.

        EM begins twice, on the rows that the first splits hold out and on those
        that the others do; each split goes on from the one that knows none of its
        own. One split alone begins with its own learned rows.

        Parameters
        ----------
        x : Series of length n
        y : int array of shape (n,), 0 or 1
        splits : list of (learned rows, held out rows), each ascending
        states : list of int

        Returns
        -------
        features : float64 array of shape (len(states), n, F)
            NaN where a region is constant in a person, or a row is never held out.
        models : list of list of Chains
            Of the first split, by number of states, then by class.
        """
        shape = len(states), len(y), 1 + self.per_class, len(self.regions)
        features = np.full(shape, np.nan)
        models: list[list[list[Chains]]] = [[] for _ in states]
        for block in self._blocks():
            exact, quick = self._padded(x, block)
            for index, n_states in enumerate(states):
                found = self._of_splits(quick, y, splits, n_states)
                models[index].append(found[0])
                for chains, (_, held_out) in zip(found, splits, strict=True):
                    told = exact.people(held_out)
                    features[index, held_out, :, block] = self._of(chains, told)
        return features.reshape(*shape[:2], -1), [_joined(one) for one in models]

    def learn_all(self, x: Series, y: np.ndarray, starts: list[Chains]) -> list[Chains]:
        """Learn from everyone; EM starts where that of an inner fold ended."""
        everyone, found = np.arange(len(y)), []
        for block in self._blocks():
            _, quick = self._padded(x, block)
            found.append(self._learn([c[block] for c in starts], quick, y, everyone))
        return _joined(found)

    def describe(self, models: list[Chains], x: Series) -> np.ndarray:
        """Return the features of rows, float64 of shape (n, F)."""
        found = []
        for block in self._blocks():
            told = Sequences.of([one[:, self.regions[block]] for one in x])
            found.append(self._of([c[block] for c in models], told))
        return np.concatenate(found, axis=2).reshape(len(x), -1)

    def _blocks(self) -> Iterable[slice]:
        return (slice(at, at + BLOCK) for at in range(0, len(self.regions), BLOCK))

    def _padded(self, x: Series, block: slice) -> tuple[Sequences, Sequences]:
        """Return series of some regions in float64, and in float32 for EM."""
        exact = Sequences.of([one[:, self.regions[block]] for one in x])
        return exact, exact.single()

    def _of_splits(
        self, quick: Sequences, y: np.ndarray, splits: list[Split], n_states: int
    ) -> list[list[Chains]]:
        """Return, for each split, models by class that know no row it holds out."""
        half = len(splits) // 2
        firsts, others = splits[:half], splits[half:]
        known = [_held_out(others), _held_out(firsts)] if half else [splits[0][0]]
        begun = []
        for rows in known:
            groups = [quick.people(group) for group in self._groups(y, rows)]
            begun.append(
                [learn(begin(g, n_states), g, self.n_iter, self.tol)[0] for g in groups]
            )
        starts = [begun[0]] * len(firsts) + [begun[-1]] * len(others)
        return [
            self._learn(start, quick, y, learned)
            for start, (learned, _) in zip(starts, splits, strict=True)
        ]

    def _learn(
        self, starts: list[Chains], quick: Sequences, y: np.ndarray, rows: np.ndarray
    ) -> list[Chains]:
        n_iter = -(-self.n_iter // CONTINUE)
        return [
            learn(start, quick.people(group), n_iter, self.tol)[0]
            for start, group in zip(starts, self._groups(y, rows), strict=True)
        ]

    def _groups(self, y: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
        """Return the rows that each model learns from."""
        return [rows[y[rows] == c] for c in (0, 1)] if self.per_class else [rows]

    def _of(self, models: list[Chains], told: Sequences) -> np.ndarray:
        """Return (P, 1 or 2, R) log-likelihoods a volume, NaN for constant series.

        Of two models, their mean and the difference: standardizing each would
        otherwise drown the difference in what they share.
        """
        found = [log_likelihood(model, told) / told.lengths() for model in models]
        if self.per_class:
            found = [(found[0] + found[1]) / 2, found[1] - found[0]]
        values = torch.stack(found).masked_fill(~told.is_alive, torch.nan)
        return values.permute(2, 0, 1).numpy()


def longest_first(x: Series) -> np.ndarray:
    """Return an order of rows by falling length, that of the rows within equals."""
    return np.argsort([-len(one) for one in x], kind="stable")


def _held_out(splits: list[Split]) -> np.ndarray:
    return np.sort(np.concatenate([held_out for _, held_out in splits]))


def _joined(parts: list[list[Chains]]) -> list[Chains]:
    """Return models by class of all regions, from those of blocks of regions."""
    return [Chains.join(blocks) for blocks in zip(*parts, strict=True)]
