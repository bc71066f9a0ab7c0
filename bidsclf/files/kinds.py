"""One kind of files among several: the only one, or that which a word stands for."""

import json
import re
from importlib.resources import files

import pandas as pd

from bidsclf.errors import ConfigError
from bidsclf.options import did_you_mean

ATLAS = ("atlas", "seg", "scale")


def _plain(text: str) -> str:
    return re.sub(r"[^0-9a-z]", "", text.lower())


def _matching(known: list[str], wanted: str) -> list[str]:
    """Return the values that a word stands for, compared by letters and digits.

    A word is the whole value, its first entity, or the name of a file in
    ``data/atlases``: 'schaefer200' is 'Schaefer2018_seg-7n_scale-200'.
    """
    listing = files("bidsclf") / "data" / "atlases" / f"{_plain(wanted)}.json"
    if listing.is_file():
        said = json.loads(listing.read_text(encoding="utf-8"))
        pairs = [f"{key}-{said[key]}" for key in ATLAS[1:] if key in said]
        wanted_file = "_".join([said["name"], *pairs])
    else:
        wanted_file = wanted
    for word in (wanted, wanted_file):
        whole = [value for value in known if _plain(value) == _plain(word)]
        first = [v for v in known if _plain(v.partition("_")[0]) == _plain(word)]
        if whole or first:
            return whole or first
    return []


def kinds_of(tables: pd.DataFrame, entities: tuple[str, ...]) -> pd.Series:
    """Return the kind of each file, as an option names it: iso64_space-MNI."""
    values = tables[entities[0]].copy()
    for name in entities[1:]:
        values += tables[name].map(lambda v, name=name: f"_{name}-{v}" if v else "")
    return values


def narrow(
    tables: pd.DataFrame, entities: tuple[str, ...], wanted: str | None, option: str
) -> pd.DataFrame:
    """Keep the files of one value of the entities, the wanted or the only one."""
    values = kinds_of(tables, entities)
    known = sorted(values.unique())
    matched = known if wanted is None else _matching(known, wanted)
    if not matched:
        raise ConfigError(
            f"{option} {wanted}: no features of it;"
            f" there are: {', '.join(known) or 'none'}."
            f"{did_you_mean(wanted or '', known)}"
        )
    if len(matched) > 1:
        raise ConfigError(
            f"the features are of {len(matched)} kinds: {', '.join(matched)};"
            f" a cohort has one. Choose with {option}."
        )
    return tables[values == matched[0]]
