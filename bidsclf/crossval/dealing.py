"""Training people dealt into parts, each of which one network never sees."""

import numpy as np
import pandas as pd

from bidsclf.errors import InputError

N_PARTS = 3  # networks a fold: each learns from two thirds; ours
LEAST = 2  # people of a site from whom its location and scale can be learned


def dealt(
    units: np.ndarray, sites: np.ndarray, y: np.ndarray, *, seed: int
) -> np.ndarray:
    """Deal people into parts, alike in sites and classes; families stay together.

    The largest families are dealt first, each to the part with the fewest people of
    its sites, among those to the one with the fewest of its classes, then of its
    cells of site and class, then of all. Where nobody has relatives, the people of a
    site differ by one between parts at most.

    Parameters
    ----------
    units : int array of shape (n_people,)
        A number a family. The order of people matters, the numbers do not.
    sites : object array of shape (n_people,)
    y : int array of shape (n_people,), 0 or 1
    seed : int

    Returns
    -------
    part : int array of shape (n_people,)
        0 to ``N_PARTS - 1``.
    """
    table = pd.DataFrame({"site": np.asarray(sites).astype(str), "y": y})
    cell = table.groupby(["site", "y"]).ngroup().to_numpy()
    site = pd.factorize(table["site"])[0]
    members = _members(units)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(members))
    order = sorted(shuffled, key=lambda u: (-len(members[u]), cell[members[u][0]]))
    tie = rng.permutation(N_PARTS)
    keys = (site, np.asarray(y), cell)  # what parts should be alike in, first first
    loads = [np.zeros((N_PARTS, key.max(initial=0) + 1), int) for key in keys]
    part = np.empty(len(units), int)
    for unit in order:
        who = members[unit]
        own = [load[:, key[who]].sum(1) for load, key in zip(loads, keys, strict=True)]
        best = np.lexsort((tie, loads[1].sum(axis=1), *reversed(own)))[0]
        part[who] = best
        for load, key in zip(loads, keys, strict=True):
            np.add.at(load[best], key[who], 1)
    return part


def _members(units: np.ndarray) -> list[np.ndarray]:
    """Return who is in each unit, units in the order of their first person."""
    _, first, at = np.unique(units, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[at]
    return [np.flatnonzero(rank == unit) for unit in range(len(first))]


def check(part: np.ndarray, sites: np.ndarray, y: np.ndarray, policy: str) -> None:
    """Refuse parts from which site effects, or the classes, cannot be learned.

    Parameters
    ----------
    part, sites, y : arrays of shape (n_people,)
    policy : {'refuse', 'identity', 'batch'}
        For sites that are not learned. 'identity' takes a small site for such a
        one; 'batch' does so where nobody of it is in the part.

    Raises
    ------
    InputError
        The site or the class, the people it has in each part, and what to do.
    """
    numbers = range(N_PARTS)
    for site, own in pd.Series(part).groupby(np.asarray(sites).astype(str)):
        counts = own.value_counts().reindex(numbers, fill_value=0)
        is_short = counts < LEAST
        if policy == "batch":
            is_short &= counts > 0
        if policy != "identity" and is_short.any():
            raise InputError(f"site {site!r} has {_sizes(counts)}; {_needed()}")
    for label in (0, 1):
        of_class = pd.Series(part[np.asarray(y) == label])
        counts = of_class.value_counts().reindex(numbers, fill_value=0)
        if not counts.all():
            raise InputError(
                f"class {label} has {_sizes(counts)}; the linear head of each part"
                " learns from both classes. Use fewer folds or more people, or"
                " --harmonize none."
            )


def _sizes(counts: pd.Series) -> str:
    shown = ", ".join(str(n) for n in counts)
    return f"{counts.sum()} people to learn from, {shown} in the {N_PARTS} parts"


def _needed() -> str:
    return (
        f"harmonization at the embedding learns site effects in each of {N_PARTS} parts"
        f" of the training people and needs {LEAST} people of a site in each,"
        f" {N_PARTS * LEAST} in all, more where families stay together. Leave the site"
        " out with --include, give --harmonize-unseen identity, use fewer folds, or"
        " use --harmonize none."
    )
