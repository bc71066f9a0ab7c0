"""How many kinds of patients a latent space holds, and pictures of it."""

from typing import Any

import numpy as np
import pandas as pd

from bidsclf.interpret.latent import read_trait
from bidsclf.report import figures
from bidsclf.report.similarity import strongest
from bidsclf.report.tables import Analysis, select

WAYS = {"PCA": ["pca_1", "pca_2"], "UMAP": ["umap_1", "umap_2"]}


def _curves(analysis: Analysis, model: str) -> dict[str, pd.Series]:
    """Return of each space the least BIC over shapes of each number of components."""
    table = analysis.table("mixture")
    rows = pd.DataFrame() if table is None else select(table, model=model)
    if rows.empty:
        return {}
    rows = rows.dropna(subset=["bic", "n_components"])
    by = rows.astype({"n_components": int}).groupby(["space", "n_components"])["bic"]
    least = by.min()
    return {space: least[space] for space in dict.fromkeys(rows["space"])}


def best(analysis: Analysis, model: str) -> dict[str, int]:
    """Return of each space the number of components with the least BIC."""
    curves = _curves(analysis, model)
    return {space: int(curve.idxmin()) for space, curve in curves.items()}


def gain(analysis: Analysis, model: str, space: str) -> float:
    """Return by how much the least BIC lies below that of one component."""
    curve = _curves(analysis, model)[space]
    return float(curve.get(1, np.nan) - curve.min())


def kinds(analysis: Analysis, model: str) -> dict[str, Any] | None:
    """Return the curves of BIC; None where there is no mixture."""
    curves = _curves(analysis, model)
    if not curves:
        return None
    drawn = {
        space: (curve.index.to_numpy(int), curve.to_numpy(float))
        for space, curve in curves.items()
    }
    return {"figure": figures.kinds(drawn), "best": best(analysis, model)}


def planes(analysis: Analysis, model: str) -> dict[str, Any] | None:
    """Return pictures of patients, coloured by the trait that lies in them most."""
    table, name = analysis.table("plane"), strongest(analysis, model)
    rows = pd.DataFrame() if table is None else select(table, model=model)
    if rows.empty or not name:
        return None
    kept = analysis.kept.set_index("participant_id")
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for space, own in rows.groupby("space", sort=False):
        drawn[str(space)] = {
            way: own[columns].to_numpy(float) for way, columns in WAYS.items()
        }
        who = own["participant_id"]
    return {
        "figure": figures.planes(drawn, _shown(kept[name].reindex(who))),
        "by": name,
    }


def _shown(cells: pd.Series) -> figures.Shown:
    name = str(cells.name)
    trait = read_trait(name, cells, is_category=name in ("site", "sex"))
    if trait.is_number:
        return figures.Shown(name, trait.values)
    words = sorted(set(cells.dropna().astype(str).str.strip()))
    return figures.Shown(name, trait.values, tuple(words))
