"""Which traits of patients lie in latent spaces: dots, tables and words."""

from typing import Any

import numpy as np

from bidsclf.files import store
from bidsclf.interpret.latent import DIFFERENCE, SALIENT
from bidsclf.report import figures, page
from bidsclf.report.tables import Analysis, select

FITS = {  # fit -> how it is called in a figure
    "crossfitted": "cross-fitted: people not seen",
    "everyone": "everyone: one model of all",
}
LEVEL = 0.05  # of Holm's p


def fits_of(analysis: Analysis, model: str) -> list[str]:
    """Return the fits of which something is known, cross-fitted first."""
    table = analysis.table("rsa")
    if table is None:
        return []
    own = set(table.loc[table["model"] == model, "fit"])
    return [fit for fit in FITS if fit in own]


def carried(analysis: Analysis, model: str, fit: str, space: str) -> list[str]:
    """Return the traits that lie in a space, the strongest first."""
    table = analysis.table("rsa")
    if table is None:
        return []
    rows = select(table, model=model, fit=fit, space=space)
    rows = rows[(rows["tau"] > 0) & (rows["p_holm"] < LEVEL)]
    return [str(name) for name in rows.sort_values("tau", ascending=False)["trait"]]


def strongest(analysis: Analysis, model: str) -> str:
    """Return the trait that the salient, or only, space carries most; '' for none."""
    table = analysis.table("rsa")
    for fit in fits_of(analysis, model):
        rows = select(table, model=model, fit=fit).dropna(subset="tau")
        is_first = rows["space"].isin([SALIENT, "latent"])
        rows = rows[is_first & rows["trait"].isin(analysis.kept.columns)]
        if len(rows):
            best = rows.sort_values(["p", "tau"], ascending=[True, False])
            return str(best["trait"].iloc[0])
    return ""


def traits(analysis: Analysis, model: str) -> dict[str, Any] | None:
    """Return the figure of traits by space, with its tables; None without rsa.tsv."""
    fits = fits_of(analysis, model)
    if not fits:
        return None
    rows = select(analysis.tables["rsa"], model=model)
    main = select(rows, fit=fits[0])
    has_gap = (main["space"] == DIFFERENCE).any()
    first = select(main, space=DIFFERENCE) if has_gap else main
    order = first.sort_values("tau", ascending=False)["trait"]
    panels = {}
    for fit in fits:
        own = select(rows, fit=fit).dropna(subset="tau")
        own = own[own["space"] != DIFFERENCE].set_index("trait")
        own = own.loc[[name for name in order if name in own.index]]
        panels[FITS[fit]] = [
            figures.Dot(str(name), row["space"], row["tau"], row["p_holm"] < LEVEL)
            for name, row in own.iterrows()
        ]
    panels = {title: dots for title, dots in panels.items() if dots}
    return {
        "figure": figures.traits(panels, "Kendall's tau") if panels else None,
        "spaces": [name for name in dict.fromkeys(rows["space"]) if name != DIFFERENCE],
        "tables": {FITS[fit]: _table(analysis, model, fit) for fit in fits},
    }


def _table(analysis: Analysis, model: str, fit: str) -> page.Rows:
    """Return tau and silhouette of every trait and space."""
    rows = select(analysis.tables["rsa"], model=model, fit=fit)
    keys, groups = ["space", "trait"], analysis.table("silhouette")
    if groups is not None:
        own = select(groups, model=model, fit=fit)[[*keys, "silhouette", "p_holm"]]
        rows = rows.merge(own, "left", on=keys, suffixes=("", "_groups"))
    records = [
        {
            "trait": row["trait"],
            "space": row["space"],
            "people": page.text(row["n"], 0),
            "tau": float(row["tau"]),
            "p (Holm)": page.p_value(row["p_holm"]),
            "silhouette": float(row.get("silhouette", np.nan)),
            "its p (Holm)": page.p_value(row.get("p_holm_groups", np.nan)),
        }
        for row in rows.to_dict("records")
    ]
    columns = list(records[0])
    return page.rows(records, columns, numbers=columns[2:])


def out_of_reach(analysis: Analysis, model: str) -> str:
    """Say where so much is tested that no corrected p can be small; else ''."""
    n = analysis.part("analysis").get("n_permutations")
    table = analysis.table("rsa")
    if not n or table is None:
        return ""
    rows = select(table, model=model).dropna(subset="p")
    most = max(rows["fit"].value_counts(), default=0)
    least = most * page.smallest_p(n)
    if least <= LEVEL:
        return ""
    return (
        f"With {most} tests a fit and {n} permutations no corrected p can be below"
        f" {least:.2g}: name fewer --traits, or give more --n-permutations."
    )


def left_out(analysis: Analysis) -> dict[str, str]:
    """Return the columns that were not looked for, and why, as rsa.json has them."""
    path = analysis.folder / "rsa.json"
    about = store.read_json(path) if path.exists() else {}
    return dict(about.get("trait", {}).get("LeftOut", {}))
