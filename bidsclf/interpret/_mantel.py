"""A statistic of distances and traits of people, and its null: people change places."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform

from bidsclf.errors import InputError
from bidsclf.evaluate.comparison import holm
from bidsclf.interpret._traits import Trait

SALIENT, BACKGROUND = "salient", "background"
DIFFERENCE = f"{SALIENT} - {BACKGROUND}"
ROUNDING = 1e-12  # below which two statistics are equal; ours
Latents = Mapping[str, np.ndarray]


class Statistic(NamedTuple):
    """What is measured.

    Attributes
    ----------
    name : str
        Its column.
    told : callable
        (trait, blocks) to the trait that is measured, NaN where a person is left out.
    of : callable
        Distances (n, n) of people, their Trait and orders (k, n) of people to the
        values, float of shape (k,), NaN where it is not defined.
    weight : callable
        Number of people of a block to its weight.
    """

    name: str
    told: Callable[[Trait, np.ndarray], Trait]
    of: Callable[[np.ndarray, Trait, np.ndarray], np.ndarray]
    weight: Callable[[int], int]


class Pooled(NamedTuple):
    """A statistic over blocks.

    Attributes
    ----------
    drawn : float array of shape (1 + n_permutations,), or (0,) where no block has one
    n_people : int
        People of the blocks that have one; where none has, all who know the trait.
    """

    drawn: np.ndarray
    n_people: int


def tabulate(
    statistic: Statistic,
    latents: Latents,
    traits: Sequence[Trait],
    *,
    blocks: np.ndarray | None,
    n_permutations: int,
    seed: int,
) -> pd.DataFrame:
    """Return a row a trait and space, and one of the difference of two spaces.

    Raises
    ------
    InputError
        A latent space, a trait or the blocks are not of the same people, or a latent
        space is not a table of finite numbers.
    """
    wide = {name: checked(latent, name) for name, latent in latents.items()}
    n_people = max((len(latent) for latent in wide.values()), default=0)
    of_block = np.zeros(n_people, int) if blocks is None else np.asarray(blocks)
    _check(wide, traits, of_block)
    rows: list[dict[str, object]] = []
    for number, trait in enumerate(traits):
        rng = np.random.default_rng([seed, number])
        told = statistic.told(trait, of_block)
        parts = list(_parts(told, of_block, n_permutations, rng))
        values = {name: _pooled(statistic, z, told, parts) for name, z in wide.items()}
        rows += ({**row, "kind": _kind(trait)} for row in _rows(values, told))
    names = ["space", "trait", "kind", "n", statistic.name, "p"]
    table = pd.DataFrame(rows, columns=[*names[:4], "value", "p"])
    table = table.rename(columns={"value": statistic.name})
    return table.assign(p_holm=holm(table["p"].to_numpy(float)))


def checked(latent: np.ndarray, name: str = "latent") -> np.ndarray:
    """Return a latent space as float64 of shape (n_people, d).

    Raises
    ------
    InputError
        It is not a table of finite numbers; the message gives rows.
    """
    wide = np.asarray(latent, float)
    is_finite = np.isfinite(wide)
    if wide.ndim != 2 or not is_finite.all():
        rows = np.flatnonzero(~is_finite.all(axis=tuple(range(1, wide.ndim))))
        raise InputError(
            f"latent space {name!r}: shape {wide.shape}, not finite in rows"
            f" {rows[:5].tolist()}; expected finite numbers, a row a person. Did the"
            " training of its network diverge?"
        )
    return wide


def _check(latents: Latents, traits: Sequence[Trait], blocks: np.ndarray) -> None:
    lengths = {f"latent space {name!r}": len(one) for name, one in latents.items()}
    lengths |= {f"trait {trait.name!r}": len(trait.values) for trait in traits}
    lengths |= {"blocks": len(blocks)}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise InputError(f"not of the same people: {said}. Give a row a person to all.")


def _kind(trait: Trait) -> str:
    return "number" if trait.is_number else "category"


def _parts(
    told: Trait, blocks: np.ndarray, n: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the people of each block and ``n`` orders of them, after their own."""
    for block in np.unique(blocks) if told.is_said else ():
        people = np.flatnonzero((blocks == block) & told.known)
        own = np.arange(len(people))
        yield people, np.stack([own, *(rng.permutation(own) for _ in range(n))])


def _pooled(
    statistic: Statistic,
    latent: np.ndarray,
    told: Trait,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Pooled:
    """Return the statistic of each order: mean over blocks, by their weights."""
    sums, weight, n_people = np.zeros(1), 0, 0
    for people, orders in parts:
        placed = squareform(pdist(latent[people]))
        if placed.any():
            own = replace(told, values=told.values[people])
            values = statistic.of(placed, own, orders)
            if not np.isnan(values).any():
                sums = sums + statistic.weight(len(people)) * values
                weight += statistic.weight(len(people))
                n_people += len(people)
    if not weight:
        return Pooled(np.array([]), int(told.known.sum()))
    return Pooled(sums / weight, n_people)


def _rows(values: dict[str, Pooled], told: Trait) -> Iterator[dict[str, object]]:
    """Yield the statistic and p of each space, and of their difference."""
    if {SALIENT, BACKGROUND} <= set(values):
        values = values | {DIFFERENCE: _gap(values[SALIENT], values[BACKGROUND])}
    for space, (drawn, n_people) in values.items():
        row: dict[str, object] = {"space": space, "trait": told.name}
        row |= {"n": n_people, "value": np.nan, "p": np.nan}
        if len(drawn):
            sizes = np.abs(drawn - drawn.mean()) if space == DIFFERENCE else drawn
            n_more = int((sizes[1:] >= sizes[0] - ROUNDING).sum())
            row |= {"value": drawn[0], "p": (n_more + 1) / len(drawn)}
        yield row


def _gap(salient: Pooled, background: Pooled) -> Pooled:
    """Return salient less background, or nothing where one of them is not said."""
    n_people = min(salient.n_people, background.n_people)
    if not (len(salient.drawn) and len(background.drawn)):
        return Pooled(np.array([]), n_people)
    return Pooled(salient.drawn - background.drawn, n_people)
