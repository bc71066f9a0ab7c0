"""Who of the people that are not tested stops the training."""

import numpy as np
import pandas as pd

from bidsclf.config import FoldConfig
from bidsclf.errors import InputError
from bidsclf.folds.fold import Fold


def hold_out(
    table: pd.DataFrame, config: FoldConfig, name: tuple[int, int], test: np.ndarray
) -> Fold:
    """Hold a stratified share of everyone but the test people out for stopping.

    Parameters
    ----------
    table : DataFrame
        As of ``fold.checked``.
    config : FoldConfig
        Its valid_fraction, counted in groups, and seed.
    name : (repeat, fold)
    test : int array
        Rows of the test part; their relatives are in no part.

    Returns
    -------
    fold : Fold

    Raises
    ------
    InputError
        Too few of a class are left to learn from.
    """
    tested = table.loc[table["row"].isin(test), "unit"]
    rest = table[~table["unit"].isin(tested)]
    rng = np.random.default_rng([config.seed, *name, 1])
    heads = rest.drop_duplicates("unit")
    held: list[np.ndarray] = []
    for kind, least in (("0", 1), ("1", 1), ("01", 0)):
        members = heads[heads["kind"] == kind]
        if kind == "01" and not _has_both(rest, held):
            least = 1
        n_held = max(least, round(config.valid_fraction * len(members)))
        if 0 < n_held < len(members):
            held.append(_spread(members, n_held, rng))
    is_valid = rest["unit"].isin(np.concatenate([np.empty(0, int), *held]))
    for label in (0, 1):
        of_class = rest["y"] == label
        if not (of_class & is_valid).any() or not (of_class & ~is_valid).any():
            raise _too_few(name, rest[of_class], label)
    train, valid = (np.sort(rest.loc[one, "row"]) for one in (~is_valid, is_valid))
    return Fold(*name, train=train, valid=valid, test=np.sort(test))


def _has_both(rest: pd.DataFrame, held: list[np.ndarray]) -> bool:
    """Tell whether the units held out so far are of both classes."""
    units = np.concatenate([np.empty(0, int), *held])
    return rest.loc[rest["unit"].isin(units), "y"].nunique() == 2


def _spread(members: pd.DataFrame, n_held: int, rng: np.random.Generator) -> np.ndarray:
    """Take units evenly from a queue of sites, shuffled within each."""
    sites = [site.to_numpy() for _, site in members.groupby("site")["unit"]]
    queue = np.concatenate([rng.permutation(site) for site in sites])
    steps = (np.arange(n_held) + rng.random()) * len(queue) / n_held
    return queue[steps.astype(int)]


def _too_few(name: tuple[int, int], left: pd.DataFrame, label: int) -> InputError:
    n_units = left["unit"].nunique()
    groups = f" in {n_units} groups" if n_units < len(left) else ""
    return InputError(
        f"repeat {name[0]}, fold {name[1]}: {len(left)} people of class {label}{groups}"
        f" are left to learn from; 2{groups and ' groups'} are needed at least."
        " Add people, or choose another --cv."
    )
