"""How many kinds of patients a latent space holds, and pictures of it."""

from typing import Any

import numpy as np
import pandas as pd

from bidsclf.interpret.latent import read_trait
from bidsclf.report import figures
from bidsclf.report.similarity import strongest
from bidsclf.report.tables import Analysis, select

WAYS = {"PCA": ["pca_1", "pca_2"], "UMAP": ["umap_1", "umap_2"]}


def _mixtures(analysis: Analysis, model: str) -> dict[str, pd.DataFrame]:
    """Return of each space its mixtures."""
    table = analysis.table("mixture")
    rows = pd.DataFrame() if table is None else select(table, model=model)
    if rows.empty:
        return {}
    rows = rows.dropna(subset=["bic", "n_components"]).astype({"n_components": int})
    return {str(space): own for space, own in rows.groupby("space", sort=False)}


def best(analysis: Analysis, model: str) -> dict[str, int]:
    """Return how many kinds each space holds, as the table says."""
    found = {}
    for space, rows in _mixtures(analysis, model).items():
        numbers = rows.loc[rows["is_best"] == 1, "n_components"]
        if len(numbers):
            found[space] = int(numbers.iloc[0])
    return found


def gain(analysis: Analysis, model: str, space: str) -> float:
    """Return by how much the BIC of the best lies below that of one component."""
    rows = _mixtures(analysis, model)[space]
    one = rows.loc[rows["n_components"] == 1, "bic"].min()
    return float(one - rows.loc[rows["is_best"] == 1, "bic"].min())


def kinds(analysis: Analysis, model: str) -> dict[str, Any] | None:
    """Return the curves of BIC; None where there is no mixture."""
    found, drawn = best(analysis, model), {}
    for space, rows in _mixtures(analysis, model).items():
        least = rows.groupby("n_components")["bic"].min()
        if space in found:
            curve = least.index.to_numpy(int), least.to_numpy(float), found[space]
            drawn[space] = curve
    return {"figure": figures.kinds(drawn), "best": found} if drawn else None


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
        "figure": figures.planes(drawn, _shown(analysis, kept[name].reindex(who))),
        "by": name,
    }


def _shown(analysis: Analysis, cells: pd.Series) -> figures.Shown:
    name, site = str(cells.name), analysis.part("cohort").get("site_column")
    trait = read_trait(name, cells, is_category=name in (site, "site", "sex"))
    if trait.is_number:
        return figures.Shown(name, trait.values)
    words = sorted(set(cells[trait.known].astype(str).str.strip()))
    return figures.Shown(name, trait.values, tuple(words))
