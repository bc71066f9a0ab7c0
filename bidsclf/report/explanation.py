"""The page on what models look at: regions, edges and communities."""

from pathlib import Path
from typing import Any

from bidsclf.report import page
from bidsclf.report.attribution import gradients, patterns
from bidsclf.report.communities import communities, robustness
from bidsclf.report.maps import volumes
from bidsclf.report.tables import Analysis, pooled

NAME = "explanation.html"
SHOWN = {  # any of these makes a page -> what is on it
    "attributions": "regions",
    "patterns": "edges",
    "influence": "communities",
    "maps": "places in the brain",
}
OF_REGIONS = ("attributions", "patterns", "influence", "regions")
PARTS = {  # table -> what the page lacks without it
    "regions": "positions of regions, so that no brain is drawn",
    "attributions": "the regions that models look at",
    "patterns": "the edges of linear models",
}


def is_told(analysis: Analysis) -> bool:
    """Tell whether there is something to show of what models look at."""
    return bool(shown(analysis))


def shown(analysis: Analysis) -> str:
    """Return what the page shows, such as ``regions and edges``; '' for nothing."""
    held = [words for name, words in SHOWN.items() if analysis.table(name) is not None]
    return " and ".join([", ".join(held[:-1]), held[-1]] if held[1:] else held)


def explanation_page(analysis: Analysis) -> tuple[Path, dict[str, str]]:
    """Write ``explanation.html``; return its path and its figures by name."""
    networks, linear = gradients(analysis), patterns(analysis)
    groups, held = communities(analysis), robustness(analysis)
    places = volumes(analysis)
    values = {
        "analysis": analysis.about["analysis_id"],
        "positive": analysis.labels["1"],
        "negative": analysis.labels["0"],
        "networks": networks,
        "linear": linear,
        "places": places,
        "groups": groups,
        "robustness": held,
        "notes": analysis.about.get("explained_notes", []),
        "unreadable": [*analysis.unreadable.values()],
        "absent": _absent(analysis, bool(groups)),
        "silent": _silent(analysis, [*networks, *linear, *groups, *places]),
        "decoded": analysis.table("decoding") is not None,
    }
    path = page.write(analysis.folder / NAME, "explanation", values)
    drawn = _named(networks, linear, groups) | _drawn(places)
    return path, drawn | ({"communities-robustness": held["figure"]} if held else {})


def _drawn(places: list[dict[str, Any]]) -> dict[str, str]:
    """Return the pictures of maps by the name of their file."""
    return {
        f"map-{one['model']}-{made['label']}": made["figure"]
        for one in places
        for made in one["maps"]
        if made["figure"]
    }


def _absent(analysis: Analysis, has_communities: bool) -> list[str]:
    """Return what the page lacks, and with communities what is lacking of them."""
    is_of_regions = any(analysis.table(name) is not None for name in OF_REGIONS)
    parts = dict(PARTS) if is_of_regions or analysis.table("maps") is None else {}
    if has_communities:
        parts |= {
            "overlap": "networks of communities",
            "decoding": "terms of studies (decoding)",
            "robustness": "how well communities are found again in other folds",
        }
    return [words for name, words in parts.items() if analysis.table(name) is None]


def _silent(analysis: Analysis, told: list[dict[str, Any]]) -> list[str]:
    """Return the models of the brain that no table explains."""
    shown = {one["model"] for one in told}
    models = map(str, pooled(analysis.metrics, "auc").index)
    return [m for m in models if m not in shown and not page.is_control(m)]


def _named(
    networks: list[dict[str, Any]],
    linear: list[dict[str, Any]],
    groups: list[dict[str, Any]],
) -> dict[str, str]:
    """Return the figures by the name of their file."""
    found: dict[str, str | None] = {}
    for one in networks:
        name = f"regions-{one['model']}"
        found |= {name: one["brain"], f"{name}-bars": one["bars"]}
        found[f"volumes-{one['model']}"] = one["time"]
    found |= {f"edges-{one['model']}": one["connectome"] for one in linear}
    for one in groups:
        found[f"communities-{one['model']}-sizes"] = one["sizes"]["figure"]
        for rank, community in enumerate(one["shown"], start=1):
            found[f"communities-{one['model']}-{rank}"] = community["brain"]
    return {name: figure for name, figure in found.items() if figure}
