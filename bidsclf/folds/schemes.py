"""The schemes: deal people out, leave a site out, draw with replacement."""

from collections.abc import Iterator
from zlib import crc32

import numpy as np
import pandas as pd

from bidsclf.config import FoldConfig
from bidsclf.errors import InputError
from bidsclf.folds.fold import NO_SITE, Fold, checked
from bidsclf.folds.given import given_folds
from bidsclf.folds.holding import hold_out

DRAWS = 100  # rounds tried until both classes are in and out of the bag; ours


def make_folds(people: pd.DataFrame, config: FoldConfig) -> list[Fold]:
    """Split people into folds, the same whatever the order of the table.

    Parameters
    ----------
    people : DataFrame of shape (n_people, ...)
        Columns participant_id (unique), y (0 or 1), site and, where relatives
        are known, group: people of one group are never on two sides of a split.
        A missing group is a group of its own.
    config : FoldConfig
        'kfold' deals every cell of diagnosis x site out in turn, each cell
        continuing where the last one stopped, so that a cell smaller than the
        number of folds still goes where it is needed: within a class, and over
        all, folds differ by one person at most. With groups, the largest are
        dealt first, each to the fold that has the fewest like its members.
        'loso' tests one site a fold; relatives of its people at other sites are
        in no part. 'bootstrap' draws groups with replacement, as many as there
        are within each cell of diagnosis x site, and tests who was not drawn.
        ``folds_file`` replaces all three: see ``given.given_folds``.

    Returns
    -------
    folds : list of Fold
        By repeat, then fold; each round of the bootstrap is a repeat.

    Raises
    ------
    InputError
        A person occurs twice, y is not 0 or 1, a class has fewer people (or
        groups) than folds, a training part lacks a class, 'loso' meets a
        missing or a single site, or the file of folds is not one.

    References
    ----------
    Efron and Tibshirani (1997), J Am Stat Assoc 92(438), 548-560,
    doi:10.2307/2965703 (out-of-bag testing).
    """
    table = checked(people)
    if config.folds_file is not None:
        return given_folds(table, config)
    if config.scheme == "bootstrap":
        return [_drawn(table, config, r) for r in range(1, config.repeats + 1)]
    return [hold_out(table, config, name, test) for name, test in _tests(table, config)]


def whole(people: pd.DataFrame, config: FoldConfig) -> Fold:
    """Return the split of the final model: everyone learns, nobody is tested."""
    return hold_out(checked(people), config, (0, 0), np.empty(0, int))


def _tests(
    table: pd.DataFrame, config: FoldConfig
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Yield (repeat, fold) and the rows of its test part."""
    for repeat in range(1, config.repeats + 1):
        if config.scheme == "loso":
            tests = _by_site(table)
        else:
            tests = _by_cell(table, config, repeat)
        for number, test in enumerate(tests, start=1):
            yield (repeat, number), test


def _by_site(table: pd.DataFrame) -> list[np.ndarray]:
    sites = sorted(set(table["site"]))
    if NO_SITE in sites:
        lost = table.loc[table["site"] == NO_SITE, "id"].tolist()
        raise InputError(
            f"{len(lost)} people have no site: {', '.join(lost[:5])};"
            " --cv loso needs everyone's. Fill the column or use --cv kfold."
        )
    if len(sites) < 2:
        raise InputError(
            f"everyone is of site {sites[0]!r}; --cv loso needs two sites or more."
            " Check --site-column or use --cv kfold."
        )
    return [table.loc[table["site"] == site, "row"].to_numpy() for site in sites]


def _by_cell(table: pd.DataFrame, config: FoldConfig, repeat: int) -> list[np.ndarray]:
    units = table.groupby("y")["unit"].nunique().reindex([0, 1], fill_value=0)
    if units.min() < config.n_folds:
        short = units.idxmin()
        n_people = (table["y"] == short).sum()
        groups = f" in {units.min()} groups" if units.min() < n_people else ""
        raise InputError(
            f"class {short} has {n_people} people{groups} and --n-folds is"
            f" {config.n_folds}; every fold tests both classes. Lower --n-folds."
        )
    rng = np.random.default_rng([config.seed, repeat])
    if table["unit"].nunique() < len(table):
        fold_of = _dealt_groups(table, config.n_folds, rng)
        rows = table["row"].to_numpy()
        return [np.sort(rows[fold_of == fold]) for fold in range(config.n_folds)]
    cells = [cell.to_numpy() for _, cell in table.groupby(["y", "site"])["row"]]
    queue = np.concatenate([rng.permutation(cell) for cell in cells])
    fold_of = rng.permutation(config.n_folds)[np.arange(len(queue)) % config.n_folds]
    return [np.sort(queue[fold_of == fold]) for fold in range(config.n_folds)]


def _dealt_groups(
    table: pd.DataFrame, n_folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the fold of each person, the largest groups dealt first.

    A group goes to the fold with the fewest of its members' classes, among
    those to the one with the fewest of their cells, then with the fewest people.
    """
    cell_of = table.groupby(["y", "site"]).ngroup().to_numpy()
    y, members = table["y"].to_numpy(), table.groupby("unit").indices
    shuffled = rng.permutation(len(members))
    order = sorted(shuffled, key=lambda u: (-len(members[u]), cell_of[members[u][0]]))
    by_class = np.zeros((n_folds, 2), int)
    by_cell = np.zeros((n_folds, cell_of.max() + 1), int)
    tie = rng.permutation(n_folds)
    fold_of = np.empty(len(table), int)
    for unit in order:
        who = members[unit]
        load = (
            tie,
            by_class.sum(axis=1),
            by_cell[:, cell_of[who]].sum(axis=1),
            by_class[:, y[who]].sum(axis=1),
        )
        best = np.lexsort(load)[0]
        fold_of[who] = best
        np.add.at(by_class[best], y[who], 1)
        np.add.at(by_cell[best], cell_of[who], 1)
    return fold_of


def strata(table: pd.DataFrame) -> np.ndarray:
    """Return the cell that each unit is drawn within, as text.

    Parameters
    ----------
    table : DataFrame
        As of ``checked``.

    Returns
    -------
    cells : object array of shape (n_units,)
        'kind|site', the site of the first member; a cell of one unit, which
        would be drawn every time and never tested, joins the other such cells
        of its kind ('kind|'), and if it is the only one, the largest cell of
        its kind, or of all.
    """
    first = table.groupby("unit").first()
    cell = first["kind"] + "|" + first["site"]
    is_alone = cell.map(cell.value_counts()) == 1
    cell = cell.where(~is_alone, first["kind"] + "|")
    counts = cell.value_counts().sort_index()
    for lonely in counts.index[counts == 1]:
        others = counts.drop(lonely)
        kind = lonely.partition("|")[0]
        like = others[others.index.str.partition("|").get_level_values(0) == kind]
        if len(others):
            cell = cell.replace(lonely, (like if len(like) else others).idxmax())
            counts = cell.value_counts().sort_index()
    return cell.to_numpy(object)


def _drawn(table: pd.DataFrame, config: FoldConfig, repeat: int) -> Fold:
    """Draw units with replacement within strata; test those out of the bag.

    A round whose bag or test part cannot be used is drawn again: it happens
    where a class has a few people only.
    """
    cells, unit = strata(table), table["unit"].to_numpy()
    y, rows = table["y"].to_numpy(), table["row"].to_numpy()
    for attempt in range(DRAWS):
        n_drawn = np.zeros(len(cells), int)
        for cell in sorted(set(cells)):
            members = np.flatnonzero(cells == cell)
            stream = [config.seed, repeat, attempt, crc32(cell.encode())]
            picked = np.random.default_rng(stream).integers(
                len(members), size=len(members)
            )
            n_drawn[members] = np.bincount(picked, minlength=len(members))
        times = n_drawn[unit]
        inside = min(len(set(unit[(times > 0) & (y == label)])) for label in (0, 1))
        if inside >= 2 and len(set(y[times == 0])) == 2:
            once = hold_out(table, config, (repeat, 1), rows[times == 0])
            times_of = np.empty(len(rows), int)
            times_of[rows] = times
            train, valid = (np.repeat(p, times_of[p]) for p in (once.train, once.valid))
            return Fold(repeat, 1, train=train, valid=valid, test=once.test)
    raise InputError(
        f"repeat {repeat}: {DRAWS} draws with replacement left no two people of each"
        f" class to learn from and one to test ({np.bincount(y, minlength=2).tolist()}"
        " people a class). Add people, or use --cv kfold."
    )
