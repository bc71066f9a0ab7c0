"""What models look at: regions of networks, edges of linear models."""

from typing import Any

import numpy as np
import pandas as pd

from bidsclf.report import figures, page
from bidsclf.report.tables import Analysis, pooled, select

GRADIENT, PATTERN = "integrated gradients", "haufe"
N_REGIONS, N_EDGES = 10, 20  # shown
XYZ = ["x", "y", "z"]
SHARE, SD = "share of all", "SD over folds"
SPEAKS = "higher where the score speaks for"
DIRECTION = {  # method -> headings of the label and of the number
    GRADIENT: ("moves the score towards", "log odds"),
    PATTERN: (SPEAKS, "sum of patterns"),
}


def points_of(analysis: Analysis) -> pd.DataFrame:
    """Return the mm of regions that have a position, by name; empty if none has."""
    table = analysis.table("regions")
    if table is None:
        return pd.DataFrame(columns=XYZ, dtype=float)
    known = table.dropna(subset=["region", *XYZ]).drop_duplicates("region")
    return known.set_index("region")[XYZ]


def gradients(analysis: Analysis) -> list[dict[str, Any]]:
    """Return for each network its regions, most looked at first."""
    told = []
    for model, rows in _of_method(analysis, GRADIENT):
        rows = _ordered(rows)
        if rows.empty:
            continue
        n, top = len(rows), rows.head(N_REGIONS)
        held = float(top["absolute"].sum())
        told.append(
            {
                "model": model,
                "chance": at_chance(analysis, model),
                "sentence": f"All {n} regions, the ones with most first."
                if len(top) == n
                else f"Of {n} regions, the {len(top)} with most hold {held:.1%}"
                f" of what moves the score; if all were alike, they would hold"
                f" {len(top) / n:.1%}.",
                "missing": _missing(rows),
                "table": _regions(analysis, top),
                "brain": (brain := _brain(analysis, model, rows)),
                "bars": None if brain else _bars(model, top, n),
                "time": _time(analysis, model),
            }
        )
    return told


def _of_method(analysis: Analysis, method: str) -> list[tuple[str, pd.DataFrame]]:
    table = analysis.table("attributions")
    if table is None:
        return []
    rows = select(table, method=method).dropna(subset=["model", "region"])
    return [(str(model), own) for model, own in rows.groupby("model", sort=False)]


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.dropna(subset="absolute").sort_values(
        "absolute", ascending=False, kind="stable"
    )


def _missing(rows: pd.DataFrame) -> str:
    """Return which regions move no score at all; '' if there are none."""
    names = rows.loc[rows["absolute"] == 0, "region"].astype(str).tolist()
    if not names:
        return ""
    regions = "region moves" if len(names) == 1 else "regions move"
    return f"{len(names)} {regions} no score, as one that never varies: " + ", ".join(
        names
    )


def _regions(analysis: Analysis, rows: pd.DataFrame) -> page.Rows:
    networks = _networks(analysis)
    label, number = DIRECTION[rows["method"].iloc[0]]
    records = [
        {
            "region": row["region"],
            SHARE: f"{row['absolute']:.2%}",
            SD: page.MISSING if pd.isna(row["sd"]) else f"{row['sd']:.2%}",
            label: _towards(analysis, row["signed"]),
            number: _signed(row["signed"]),
            "network": networks.get(str(row["region"])),
        }
        for row in rows.to_dict("records")
    ]
    columns = [name for name in records[0] if name != "network" or networks]
    return page.rows(records, columns, numbers=(SHARE, SD, number))


def _networks(analysis: Analysis) -> dict[str, str]:
    table = analysis.table("regions")
    if table is None:
        return {}
    known = table.dropna(subset=["region", "network"])
    return dict(zip(known["region"].astype(str), known["network"], strict=True))


def _towards(analysis: Analysis, value: float) -> str | None:
    """Return the label that a value speaks for; None where it says nothing."""
    if pd.isna(value) or value == 0:
        return None
    return analysis.labels["1" if value > 0 else "0"]


def _signed(value: float) -> str:
    """Return a number with its sign, to three digits.

    Examples
    --------
    >>> _signed(0.0123456), _signed(-2.0), _signed(float("nan"))
    ('+0.0123', '-2.00', 'n/a')
    """
    return page.MISSING if pd.isna(value) else f"{value:+#.3g}"


def _brain(analysis: Analysis, model: str, rows: pd.DataFrame) -> str | None:
    """Draw regions with more than an even share, the first in colour.

    None where no such region has a position.
    """
    points, first = points_of(analysis), set(rows["region"].head(N_REGIONS))
    shown = rows[(rows["absolute"] > 1 / len(rows)) & rows["region"].isin(points.index)]
    if shown.empty:
        return None
    size = shown["absolute"].to_numpy() * np.where(shown["signed"] < 0, -1, 1)
    where = points.loc[shown["region"]].to_numpy(float)
    n, title = sum(name in first for name in shown["region"]), f"{model}: regions"
    title += f" with more than an even share; the first {n} in colour"
    return figures.brain(where, size, title, n_coloured=n)


def _bars(model: str, rows: pd.DataFrame, n_regions: int) -> str:
    lines = [
        (str(row["region"]), float(row["absolute"]), float(row["sd"]))
        for row in rows.to_dict("records")
    ]
    return figures.shares(lines, 1 / n_regions, f"{model}: what moves its score")


def _time(analysis: Analysis, model: str) -> str | None:
    table = analysis.table("attribution_time")
    if table is None:
        return None
    rows = select(table, model=model).dropna(subset=["volume", "absolute"])
    if rows.empty:
        return None
    columns = rows.sort_values("volume")[["volume", "absolute", "sd"]].to_numpy(float).T
    return figures.over_volumes(*columns, f"{model}: over the volumes of a window")


def patterns(analysis: Analysis) -> list[dict[str, Any]]:
    """Return for each linear model its strongest edges, and their regions."""
    table = analysis.table("patterns")
    if table is None:
        return []
    regions, told = dict(_of_method(analysis, PATTERN)), []
    rows = table.dropna(subset=["model", "region_a", "region_b", "pattern"])
    for name, own in rows.groupby("model", sort=False):
        model, n_edges = str(name), len(own)
        own = own[own["pattern"] != 0]
        if own.empty:
            continue
        strength = own["pattern"].abs().sort_values(ascending=False, kind="stable")
        top = own.loc[strength.index[:N_EDGES]]
        n_more = int((top["pattern"] > 0).sum())
        positive, negative = analysis.labels["1"], analysis.labels["0"]
        ends = _ordered(regions[model]) if model in regions else pd.DataFrame()
        told.append(
            {
                "model": model,
                "chance": at_chance(analysis, model),
                "sentence": f"Of the {len(top)} strongest of {n_edges} edges, {n_more}"
                f" are higher where the score speaks for {positive}, and"
                f" {len(top) - n_more} where it speaks for {negative}.",
                "table": _edges(analysis, top),
                "connectome": _connectome(analysis, model, top),
                "regions": None
                if ends.empty
                else _regions(analysis, ends.head(N_REGIONS)),
            }
        )
    return told


def _edges(analysis: Analysis, rows: pd.DataFrame) -> page.Rows:
    records = [
        {
            "edge": f"{row['region_a']} and {row['region_b']}",
            "pattern": _signed(row["pattern"]),
            SD: page.MISSING if pd.isna(row["sd"]) else f"{row['sd']:#.3g}",
            SPEAKS: _towards(analysis, row["pattern"]),
        }
        for row in rows.to_dict("records")
    ]
    return page.rows(records, list(records[0]), numbers=("pattern", SD))


def _connectome(analysis: Analysis, model: str, rows: pd.DataFrame) -> str | None:
    """Draw the edges of which both ends have a place; None if there are none."""
    points = points_of(analysis)
    ends = rows["region_a"].isin(points.index) & rows["region_b"].isin(points.index)
    rows = rows[ends]
    if rows.empty:
        return None
    names = list(dict.fromkeys([*rows["region_a"], *rows["region_b"]]))
    edges = pd.DataFrame(0.0, index=names, columns=names)
    for row in rows.to_dict("records"):
        a, b = row["region_a"], row["region_b"]
        edges.loc[a, b] = edges.loc[b, a] = row["pattern"]
    where = points.loc[names].to_numpy(float)
    title = f"{model}: the {len(rows)} strongest edges"
    return figures.connectome(where, edges.to_numpy(), title)


def at_chance(analysis: Analysis, model: str) -> str:
    """Say so where the model does not tell the groups apart; '' where it does."""
    auc = pooled(analysis.metrics, "auc")
    if model not in auc.index or not auc.loc[model, "low"] <= 0.5:
        return ""
    values = auc.loc[model, ["estimate", "low", "high"]].to_numpy(float)
    return (
        f"{model} does not tell the groups apart beyond chance here (AUC"
        f" {page.interval(*values)}): what it looks at then says nothing of them."
    )
