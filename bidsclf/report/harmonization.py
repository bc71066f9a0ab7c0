"""The page on sites: what of them the features hold, before and after."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.report import figures, page, trust
from bidsclf.report.harmonized import method_of, summary
from bidsclf.report.tables import Analysis, networks

NAME = "harmonization.html"
DONE = {  # value of `harmonized` -> what was done
    "none": "left as they are: the model has no harmonization, or none was asked for",
    "site": "corrected with what training people of their own site taught",
    "identity": "left as they are: their site was not among the training people",
    "batch": "corrected with what the people to be tested of their new site show"
    " (transductive: it uses them, though never their labels)",
}
LEARNED = ("model", "fits", "people a site", "sites too small", "features unchanged",
           "values imputed", "other")  # fmt: skip


def is_told(analysis: Analysis) -> bool:
    """Tell whether there is something to say about sites."""
    return method_of(analysis) != "none" or analysis.table("sites") is not None


def harmonization_page(analysis: Analysis) -> tuple[Path, dict[str, str]]:
    """Write ``harmonization.html``; return its path and its figures by name."""
    drawn = _figures(analysis)
    values = {
        "analysis": analysis.about["analysis_id"],
        "positive": analysis.labels["1"],
        "method": method_of(analysis),
        "verdict": summary(analysis),
        "accuracy": drawn.get("sites"),
        "maps": {k: v for k, v in drawn.items() if k.startswith("map-")},
        "sites": _sites(analysis.table("sites")),
        "edges": trust.motion_in_edges(analysis),
        "unseen": _treatment(analysis.tables["predictions"]),
        "learned": _learned(analysis.about.get("notes", [])),
        "notes": analysis.notes,
    }
    path = page.write(analysis.folder / NAME, "harmonization", values)
    return path, drawn


def _figures(analysis: Analysis) -> dict[str, str]:
    drawn = {}
    table = analysis.table("sites")
    if table is not None:
        lines = [
            (f"{row['features']}, {row['stage']}", *_triple(row))
            for row in table.to_dict("records")
        ]
        drawn["sites"] = figures.predictability(lines, float(table["chance"].max()))
    points = analysis.table("site_map")
    if points is not None:
        for features, rows in points.groupby("features", sort=False):
            drawn[f"map-{features}"] = _map(str(features), rows)
    return drawn


def _triple(row: dict[Any, Any]) -> tuple[float, float, float]:
    return float(row["accuracy"]), float(row["low"]), float(row["high"])


def _map(features: str, rows: pd.DataFrame) -> str:
    panels, sites = [], []
    for stage, people in rows.groupby("stage", sort=False):
        panels.append((f"{features}, {stage}", people[["pc1", "pc2"]].to_numpy(float)))
        sites.append(people["site"].astype(str).to_numpy())
    return figures.site_map(panels, sites)


def _sites(table: pd.DataFrame | None) -> page.Rows | None:
    if table is None:
        return None
    records = [
        {
            "features": row["features"],
            "stage": row["stage"],
            "accuracy": page.interval(row["accuracy"], row["low"], row["high"]),
            "balanced accuracy": row["balanced_accuracy"],
            "1 / sites": 1 / row["n_sites"],
            "largest site": row["chance"],
            "people": int(row["n"]),
            "p of the change": page.p_value(row["p_change"]),
        }
        for row in table.to_dict("records")
    ]
    columns = list(records[0])
    return page.rows(records, columns, numbers=columns[2:])


def _treatment(predictions: pd.DataFrame) -> page.Rows | None:
    """Return what was done to tested people, model by model."""
    if "harmonized" not in predictions:
        return None
    records = []
    for (model, done), rows in predictions.groupby(["model", "harmonized"], sort=False):
        sites = sorted(rows["site"].dropna().astype(str).unique())
        records.append(
            {
                "model": model,
                "tested people": rows["participant_id"].nunique(),
                "sites": len(sites),
                "what was done": DONE.get(done, done),
            }
        )
    columns = ["model", "tested people", "sites", "what was done"]
    return page.rows(records, columns, numbers=columns[1:3])


def _learned(notes: list[dict[str, Any]]) -> page.Rows | None:
    """Return what the harmonizers of each model's fits learned from."""
    found: dict[str, list[dict[str, Any]]] = {}
    for note in notes:
        for one in networks(note["notes"]):
            if told := one.get("harmonizer"):
                found.setdefault(note["model"], []).append(told)
    if not found:
        return None
    records = [
        {"model": model, "fits": len(told)} | _facts(told)
        for model, told in found.items()
    ]
    return page.rows(records, LEARNED, numbers=LEARNED[1:2])


def _facts(told: list[dict[str, Any]]) -> dict[str, str]:
    sizes = [n for one in told for n in one.get("sites", {}).values()]
    small = Counter(site for one in told for site in one.get("sites_too_small", {}))
    imputed = sum(n for one in told for n in one.get("imputed", {}).values())
    return {
        "people a site": f"{min(sizes)} to {max(sizes)}" if sizes else "n/a",
        "sites too small": ", ".join(
            f"{s} (in {n} of {len(told)})" for s, n in small.items()
        )
        or "none",
        "features unchanged": _range(told, "n_unchanged"),
        "values imputed": str(imputed),
        "other": "; ".join(_others(told)) or "nothing",
    }


def _range(told: list[dict[str, Any]], name: str) -> str:
    values = [one[name] for one in told if name in one]
    if not values:
        return "n/a"
    least, most = min(values), max(values)
    return str(least) if least == most else f"{least} to {most}"


def _others(told: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what only some methods have: each curve, the number of components."""
    for term, ends in (told[-1].get("smooth") or {}).items():
        penalty = np.median([one["alpha"][term][1] for one in told])
        yield (
            f"{term} along a curve from {ends[0]:.4g} to {ends[1]:.4g},"
            f" median penalty {penalty:.3g}"
        )
    if any("n_components" in one for one in told):
        yield f"{_range(told, 'n_components')} components"
