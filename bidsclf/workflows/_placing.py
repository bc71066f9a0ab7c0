"""Where regions and communities lie, and what studies of them are about.

From the tables of an analysis and images that can be given later: nothing here
needs the features again, and no fit depends on it.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.features._atlas import names
from bidsclf.files import store
from bidsclf.interpret.communities import overlap_table
from bidsclf.interpret.decoding import decode
from bidsclf.interpret.regions import Placed, place_regions
from bidsclf.workflows import _analysis

TABLES = ("regions", "overlap", "decoding")
MOST_INFLUENTIAL = 3  # communities that are decoded and drawn, as in the paper


def is_due(analysis: Path) -> bool:
    """Tell whether an analysis shows regions at all."""
    return (analysis / "attributions.tsv").exists()


def place(analysis: Path) -> list[Path]:
    """Write regions, overlap and decoding, and into analysis.json what is not known.

    Parameters
    ----------
    analysis : Path
        With attributions.tsv, and communities.tsv and influence.tsv if a model has
        communities.
    """
    for name in TABLES:
        for suffix in (".tsv", ".json"):
            (analysis / name).with_suffix(suffix).unlink(missing_ok=True)
    about = store.read_json(analysis / _analysis.ABOUT)
    regions = _regions(analysis)
    if not regions:
        return []
    asked = about.get("interpret", {}).items()
    given = {k: Path(v) for k, v in asked if isinstance(v, str)}
    atlas = given.get("atlas_image") or _known(about.get("atlas"))
    placed = place_regions(regions, atlas=atlas, networks=given.get("networks"))
    tables, notes = {"regions": placed.table}, list(placed.notes)
    weights = _table(analysis, "communities")
    if weights is not None:
        tables["overlap"] = _overlap(weights, placed)
        found = _decoded(analysis, weights, placed, given.get("decoding_data"))
        tables["decoding"] = found[0]
        notes += found[1]
    store.write_json(analysis / _analysis.ABOUT, about | {"explained_notes": notes})
    return [
        _analysis.write_table(analysis / f"{name}.tsv", table)
        for name, table in tables.items()
        if len(table)
    ]


def _known(atlas: str | None) -> str | None:
    """Return our own name of the atlas that the features were named by."""
    return next((name for name in names() if name == str(atlas).lower()), None)


def _table(analysis: Path, name: str) -> pd.DataFrame | None:
    path = analysis / f"{name}.tsv"
    table = store.read_table(path) if path.exists() else pd.DataFrame()
    return table if len(table) else None


def _regions(analysis: Path) -> list[str]:
    table = _table(analysis, "attributions")
    return [] if table is None else list(dict.fromkeys(table["region"]))


def _overlap(weights: pd.DataFrame, placed: Placed) -> pd.DataFrame:
    """Return overlap.tsv of the models of everyone."""
    network = placed.table.set_index("region")["network"]
    told = []
    for model, own in weights[weights["fold"] == 0].groupby("model", sort=False):
        wide = own.pivot(index="region", columns="community", values="weight")
        wide = wide.loc[placed.table["region"]]
        known = [one if isinstance(one, str) else None for one in network[wide.index]]
        told.append(overlap_table(wide.to_numpy(), known, model=str(model), fold=0))
    return pd.concat(told, ignore_index=True) if told else pd.DataFrame()


def _decoded(
    analysis: Path, weights: pd.DataFrame, placed: Placed, folder: Path | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return decoding.tsv of the most influential communities, and its notes."""
    told: list[pd.DataFrame] = []
    notes: dict[str, Any] = {}
    influence = store.read_table(analysis / "influence.tsv")
    is_asked = (influence["fold"] == 0) & (influence["rank"] <= MOST_INFLUENTIAL)
    for model, first in influence[is_asked].groupby("model", sort=False):
        own = weights[(weights["model"] == model) & (weights["fold"] == 0)]
        members = own[own["member"] == 1].groupby("community")["region"].agg(list)
        chosen = {int(number): members.get(number, []) for number in first["community"]}
        found = decode(chosen, placed.parcels, model=str(model), folder=folder)
        told.append(found.table)
        notes[found.note] = None
    table = pd.concat([t for t in told if len(t)] or told[:1], ignore_index=True)
    return table, list(notes)
