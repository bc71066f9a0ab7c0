"""A file of folds: ours of another run, or a list of who is tested where."""

from pathlib import Path

import numpy as np
import pandas as pd

from bidsclf.config import FoldConfig
from bidsclf.errors import InputError
from bidsclf.folds.fold import PARTS, Fold
from bidsclf.folds.holding import hold_out

ID = "participant_id"
FORMS = (
    "a table (tab or comma) with the columns participant_id and fold, where each"
    " person is tested, and repeat where there are several; or the folds.tsv of an"
    " analysis (repeat, fold, participant_id, part)"
)


def given_folds(table: pd.DataFrame, config: FoldConfig) -> list[Fold]:
    """Return the folds that a file gives; people it names beyond ours are left out.

    Parameters
    ----------
    table : DataFrame
        As of ``fold.checked``.
    config : FoldConfig
        ``folds_file``. Where it has a column part, its parts are taken as they
        are, and a fold without 'valid' rows has a share of its train people held
        out. Otherwise everyone not tested learns, except relatives of tested
        people, and folds count from 1 in the order of their numbers.

    Returns
    -------
    folds : list of Fold

    Raises
    ------
    InputError
        The file is absent or not such a table, leaves one of the people out,
        names one twice, puts relatives on two sides, or leaves a part empty or
        without a class.
    """
    path = _path(config)
    given = _read(path)
    absent = table.loc[~table["id"].isin(given[ID]), "id"].tolist()
    if absent:
        raise InputError(
            f"{path}: {_some(absent)} of the cohort are not in it; it splits everyone."
            " Add them, or leave them out with --include or --participant-label."
        )
    ours = given[given[ID].isin(table["id"])]
    by_id = table.set_index("id")
    ours = ours.assign(row=by_id["row"].reindex(ours[ID]).to_numpy())
    if "part" in ours:
        return [
            _as_given(path, table, config, (name, split))
            for name, split in ours.groupby(["repeat", "fold"])
        ]
    return _by_test(path, table, config, ours)


def strangers(people: pd.DataFrame, config: FoldConfig) -> list[str]:
    """Return who is in the file of folds and not in the cohort."""
    named = _read(_path(config))[ID]
    return sorted(set(named) - set(people[ID]))


def _path(config: FoldConfig) -> Path:
    if config.folds_file is None:
        raise InputError("there is no file of folds. Give --folds-file.")
    return config.folds_file


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{len(names)} people ({', '.join(names[:5])}{rest})"


def _read(path: Path) -> pd.DataFrame:
    """Return participant_id with 'sub-', repeat and fold as numbers, maybe part."""
    separator = "," if path.suffix == ".csv" else "\t"
    try:
        given = pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig"
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: --folds-file cannot be read ({error}); expected {FORMS}."
        ) from error
    lacking = [name for name in (ID, "fold") if name not in given]
    if lacking or given.empty:
        raise InputError(
            f"{path}: {len(given)} rows with the columns {', '.join(given)};"
            f" expected {FORMS}."
        )
    given[ID] = "sub-" + given[ID].str.strip().str.removeprefix("sub-")
    given = given.assign(repeat=given.get("repeat", "1"))
    for name in ("repeat", "fold"):
        numbers = pd.to_numeric(given[name], errors="coerce")
        wrong = given[~(numbers.ge(0) & numbers.mod(1).eq(0))]
        if len(wrong):
            raise InputError(
                f"{path}: {name} is {wrong[name].iloc[0]!r} for {wrong[ID].iloc[0]};"
                " expected a whole number. Number the splits 1, 2, 3 and so on."
            )
        given[name] = numbers.astype(int)
    if "part" in given and (odd := set(given["part"]) - set(PARTS)):
        raise InputError(
            f"{path}: part is {min(odd)!r}; expected one of {', '.join(PARTS)}."
        )
    return given


def _as_given(
    path: Path,
    table: pd.DataFrame,
    config: FoldConfig,
    split: tuple[tuple[int, int], pd.DataFrame],
) -> Fold:
    """Return a fold whose parts stand in the file."""
    name, rows = (int(split[0][0]), int(split[0][1])), split[1]
    train, valid, test = (
        np.sort(rows.loc[rows["part"] == part, "row"].to_numpy()) for part in PARTS
    )
    where = f"{path}: repeat {name[0]}, fold {name[1]}"
    if min(name) < 1:
        raise InputError(f"{where}: folds.tsv counts repeats and folds from 1.")
    sides = rows[["row", "part"]].drop_duplicates()
    unit_of = table.set_index("row")["unit"]
    n_sides = sides.assign(unit=unit_of.reindex(sides["row"]).to_numpy())
    straddle = n_sides.groupby("unit")["part"].nunique()
    if (straddle > 1).any():
        unit = straddle.index[straddle > 1][0]
        who = sorted(rows.loc[rows["row"].map(unit_of) == unit, ID].unique())
        raise InputError(
            f"{where}: {_some(who)}, one person or one group, are in more than one of"
            " train, valid and test; nobody learned from may be tested. Mend the file."
        )
    if len(set(test)) < len(test) or not len(test):
        raise InputError(
            f"{where}: the test part has {len(test)} rows of {len(set(test))} people;"
            " expected each of one or more people once. Mend the file."
        )
    if not len(valid):
        return _with_valid(table, config, (name, train, test))
    _refuse_one_class(where, table, {"train": train, "valid": valid})
    return Fold(*name, train=train, valid=valid, test=test)


def _with_valid(
    table: pd.DataFrame,
    config: FoldConfig,
    split: tuple[tuple[int, int], np.ndarray, np.ndarray],
) -> Fold:
    """Hold valid people out of a train part, each with all their draws."""
    name, train, test = split
    inside = table[table["row"].isin(np.concatenate([train, test]))]
    once = hold_out(inside, config, name, test)
    is_valid = np.isin(train, once.valid)
    return Fold(*name, train=train[~is_valid], valid=train[is_valid], test=test)


def _refuse_one_class(
    where: str, table: pd.DataFrame, parts: dict[str, np.ndarray]
) -> None:
    y = table.set_index("row")["y"]
    for part, rows in parts.items():
        classes = sorted(set(y.loc[rows]))
        if len(classes) < 2:
            raise InputError(
                f"{where}: the {part} part has {len(rows)} rows of the classes"
                f" {classes}; expected both 0 and 1. Mend the file."
            )


def _by_test(
    path: Path, table: pd.DataFrame, config: FoldConfig, given: pd.DataFrame
) -> list[Fold]:
    """Return folds of a list of who is tested where."""
    twice = given[given.duplicated(["repeat", ID])]
    if len(twice):
        raise InputError(
            f"{path}: {_some(sorted(set(twice[ID])))} are in more than one row of a"
            " repeat; expected the one fold where each is tested. Remove the others,"
            " or number the repeats."
        )
    folds = []
    for repeat, (_, tested) in enumerate(given.groupby("repeat"), start=1):
        n_folds = tested["fold"].nunique()
        if n_folds < 2:
            raise InputError(
                f"{path}: repeat {repeat} tests everyone in one fold, and nobody is"
                " left to learn from; expected 2 folds or more. Mend the file."
            )
        lacking = table.loc[~table["row"].isin(tested["row"]), "id"].tolist()
        if lacking:
            raise InputError(
                f"{path}: repeat {repeat} has {n_folds} folds and lacks"
                f" {_some(lacking)}; expected folds that test everyone."
                " Mend the file."
            )
        for number, (_, test) in enumerate(tested.groupby("fold"), start=1):
            rows = np.sort(test["row"].to_numpy())
            folds.append(hold_out(table, config, (repeat, number), rows))
    return folds
