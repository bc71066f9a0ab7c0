"""The page of one group analysis: a verdict, then what it rests on."""

import json
from pathlib import Path
from typing import Any

from bidsclf.files import store
from bidsclf.report import (
    explanation,
    harmonization,
    latent,
    page,
    people,
    ranking,
    trust,
)
from bidsclf.report.ablation import ablation
from bidsclf.report.card import card_text
from bidsclf.report.embedding import embedding
from bidsclf.report.harmonized import summary
from bidsclf.report.learning import learning
from bidsclf.report.methods import facts, methods_text
from bidsclf.report.tables import OPTIONAL, Analysis, best_model, read_analysis
from bidsclf.report.verdict import judge


def group_page(folder: Path) -> Path:
    """Write ``report.html`` of a finished analysis, and what it links to.

    These are ``harmonization.html`` (where sites were looked at),
    ``explanation.html`` (where models were), ``latent.html`` (of models with latents),
    ``methods.md``, ``model_card.md`` and ``figures/``. A table that is absent is
    named on the page.

    Parameters
    ----------
    folder : Path
        With analysis.json, the four tables of ``tables.NEEDED``, and any of
        ``tables.OPTIONAL`` and ``tables.EXPLAINED``.
    """
    analysis = read_analysis(folder)
    verdict = judge(analysis)
    methods, card = methods_text(analysis), card_text(analysis, verdict)
    store.write_text(folder / "methods.md", methods)
    store.write_text(folder / "model_card.md", card)
    drawn = ranking.model_figures(analysis)
    sections = _sections(analysis)
    drawn |= _pages(analysis)
    for name, figure in (drawn | _named(sections)).items():
        store.write_text(folder / "figures" / f"{name}.svg", _standalone(figure))
    values = facts(analysis) | _about(analysis) | sections
    values |= {
        "verdict": verdict,
        "methods": page.prose(methods),
        "card": page.prose(card),
        "roc": drawn["roc"],
        "forest": drawn["auc"],
        "folds": drawn["folds"],
        "confusions": _confusions(drawn),
    }
    values.pop("version")  # the page's own is that of the program that draws it
    return page.write(folder / "report.html", "group", values)


def _pages(analysis: Analysis) -> dict[str, str]:
    """Write the pages that there is something for; one that no longer holds goes."""
    drawn: dict[str, str] = {}
    for told, write in (
        (harmonization, harmonization.harmonization_page),
        (explanation, explanation.explanation_page),
        (latent, latent.latent_page),
    ):
        if told.is_told(analysis):
            drawn |= write(analysis)[1]
        else:
            (analysis.folder / told.NAME).unlink(missing_ok=True)
    return drawn


def _confusions(drawn: dict[str, str]) -> dict[str, list[str]]:
    """Return the pictures of who is called what: of models, and of controls."""
    names = {
        k: k.removeprefix("confusion-") for k in drawn if k.startswith("confusion-")
    }
    found: dict[str, list[str]] = {"models": [], "controls": []}
    for key, name in names.items():
        found["controls" if page.is_control(name) else "models"].append(drawn[key])
    return found


def _standalone(figure: str) -> str:
    return '<?xml version="1.0" encoding="utf-8"?>\n' + figure


def _about(analysis: Analysis) -> dict[str, Any]:
    """Return what analysis.json says of the run."""
    about = analysis.about
    gone = about.get("failed_tables", {})
    failures = [*about["failed"].items(), *((f"{k}.tsv", v) for k, v in gone.items())]
    return {
        "analysis": about["analysis_id"],
        "failures": [{"unit": unit, "message": said} for unit, said in failures],
        "absent": [
            what
            for name, what in OPTIONAL.items()
            if analysis.table(name) is None and name not in gone
        ],
        "unreadable": list(analysis.unreadable.values()),
        "notes": analysis.notes,
        "unit": analysis.unit,
        "level": "95 %",
        "command": about["command"],
        "settings": json.dumps(about["settings"], indent=2, ensure_ascii=False),
        "versions": json.dumps(about["versions"], indent=2, ensure_ascii=False),
    }


def _sections(analysis: Analysis) -> dict[str, Any]:
    """Return every section's tables and figures; None where there is nothing."""
    sites, site_forest = people.sites(analysis)
    told = harmonization.is_told(analysis)
    return {
        "best": best_model(analysis.metrics),
        "models": ranking.models_table(analysis),
        "comparisons": ranking.comparisons(analysis),
        "ablation": ablation(analysis),
        "permutations": ranking.permutations(analysis),
        "splits": ranking.splits(analysis),
        "calibration": trust.calibration(analysis),
        "confounds": trust.confounds(analysis),
        "edges": trust.motion_in_edges(analysis),
        "sites": sites,
        "site_forest": site_forest,
        "subgroups": people.subgroups(analysis),
        "embedding": embedding(analysis),
        "learning": learning(analysis),
        "explained": explanation.shown(analysis),
        "has_latents": latent.is_told(analysis),
        "people": people.cohort(analysis),
        "excluded": people.excluded(analysis),
        "harmonization": summary(analysis) if told else None,
        "is_site_measured": analysis.table("sites") is not None,
        "has_maps_of_sites": analysis.table("site_map") is not None,
    }


def _named(sections: dict[str, Any]) -> dict[str, str]:
    """Return the figures that sections made, by the name of their file."""
    splits, calibration = sections["splits"] or {}, sections["calibration"] or {}
    found = {
        "histogram": splits.get("histogram"),
        "roc-splits": splits.get("band"),
        "sites-auc": sections["site_forest"],
    } | {f"calibration-{k}": v for k, v in calibration.get("figures", {}).items()}
    found |= {f"learning-{k['model']}": k["figure"] for k in sections["learning"] or []}
    for one in sections["ablation"] or []:
        found |= one["figures"] | one["folds"]
    return {name: figure for name, figure in found.items() if figure}
