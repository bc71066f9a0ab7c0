"""The model card: items of TRIPOD+AI and CLAIM that the run can answer."""

from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.evaluate.metrics import THRESHOLD
from bidsclf.files import store
from bidsclf.report import explanation, greymatter, page, training, volumes
from bidsclf.report.harmonized import done_to, method_of
from bidsclf.report.methods import References, averaged, citing, facts
from bidsclf.report.people import SUBGROUPS, traits
from bidsclf.report.preparation import features_of, reads
from bidsclf.report.tables import Analysis, best_model, pooled, select
from bidsclf.report.verdict import Verdict

HARMONIZED = {  # value of `harmonized` -> words after the count of tested people
    "site": "corrected as training people of their site taught",
    "identity": "of sites not in training left as they are",
    "batch": "of sites not in training corrected by what they themselves show"
    " (transductive)",
}
TRAINING = "Nothing but training people was used for any choice."
BATCH = (
    "Every choice was made on training people, but location and scale of a site not in"
    " training were estimated from its tested people, without their labels"
    " (transductive)."
)


def card_text(analysis: Analysis, verdict: Verdict) -> str:
    """Return the model card in Markdown."""
    references, metrics = References(), analysis.metrics
    folder = Path(__file__).parents[1] / "data" / "report"
    known = traits(analysis.kept)
    sites = analysis.kept["site"].dropna().astype(str).unique()
    values = facts(analysis) | {
        "n_models": pooled(metrics, "auc").shape[0],
        "site_names": ", ".join(sorted(sites)) or "not known",
        "reasons": _reasons(analysis),
        "characteristics": "; ".join(f"{k} {v}" for k, v in known.items())
        or "neither age nor sex is known",
        "inputs": sorted(set(map(_input, features_of(analysis).values())) - {""}),
        "choices": BATCH if "batch" in done_to(analysis) else TRAINING,
        "averaged_words": _averaged(analysis),
        "harmonization": _harmonization(analysis),
        "missing": _missing(analysis.part("cohort")),
        "model_names": ", ".join(pooled(metrics, "auc").index),
        "site_spread": _site_spread(metrics),
        "subgroups": _subgroups(metrics),
        "threshold": THRESHOLD,
        "calibrated": _calibrated(analysis),
        "performance": _performance(metrics),
        "verdict": " ".join([verdict.headline, *verdict.sentences]),
        "explained": explanation.shown(analysis),
        "source": training.source(analysis),
        "external": "whole sites were left out in turn, which is nearest to one"
        if analysis.part("folds").get("scheme") == "loso"
        else "`--cv loso` leaves whole sites out",
        "unanswered": store.read_json(folder / "unanswered.json"),
    }
    return page.fill("model_card.md", values | citing(references))


def _input(feature: dict[str, Any]) -> str:
    known = {"volume": volumes.brief, greymatter.INPUT: greymatter.brief}
    return known.get(feature.get("input", ""), reads)(feature)


def _averaged(analysis: Analysis) -> str:
    how = averaged(analysis)
    return how and (
        f" Scores were {how}; `final` is one model, so that these figures may be better"
        " than its own."
    )


def _reasons(analysis: Analysis) -> list[tuple[str, int]]:
    table = analysis.tables["cohort"]
    counts = table.loc[table["included"] != "yes", "reason"].value_counts()
    return [(str(reason), int(n)) for reason, n in counts.items()]


def _harmonization(analysis: Analysis) -> str:
    """Return what was done to whom, over all models."""
    method, done = method_of(analysis), done_to(analysis)
    if method == "none":
        return "Site effects were not removed."
    told = [
        f"{n} tested people {words}"
        for done_so, words in HARMONIZED.items()
        if (n := done.get(done_so))
    ]
    named = f"Site effects were removed by {method} in the models it is defined for"
    return f"{named}: {'; '.join(told)}." if told else f"{named}."


def _missing(cohort: dict[str, Any]) -> str:
    if not cohort.get("covariates"):
        return "no covariate was used"
    return {
        "drop": "people without a covariate were among them",
        "impute-train-median": "missing covariates were filled from training people",
    }.get(cohort.get("missing", "error"), "no covariate was missing")


def _site_spread(metrics: pd.DataFrame) -> str:
    best = best_model(metrics)
    if best is None:
        return "no model of the brain was fitted"
    rows = select(metrics, scope="site", metric="auc", model=best)
    known = rows.drop_duplicates("group")["estimate"].dropna()
    if known.empty:
        return "no site has both groups"
    return (
        f"the AUC of {best} lies between {known.min():.2f} and {known.max():.2f} over"
        f" {len(known)} sites that have both groups"
    )


def _subgroups(metrics: pd.DataFrame) -> str:
    known = [scope for scope in SUBGROUPS if (metrics["scope"] == scope).any()]
    if not known:
        return "neither sex nor age is known, so no subgroup was looked at"
    return f"the AUC by {' and '.join(known)} is on the report and in metrics.tsv"


def _calibrated(analysis: Analysis) -> str:
    table = analysis.table("calibration")
    if table is None or not (table["stage"] == "after").any():
        return "It is no probability."
    return (
        "The probability beside it is calibrated on held-out training people where the"
        " model could hold people out, and is the score elsewhere; calibration curves"
        " are on the report. It holds for the share of patients of"
        " this sample."
    )


def _performance(metrics: pd.DataFrame) -> str:
    best = best_model(metrics)
    if best is None:
        return "no model of the brain was fitted."
    told = []
    for metric in ("auc", "balanced_accuracy", "sensitivity", "specificity"):
        row = pooled(metrics, metric).loc[best]
        words = page.interval(row["estimate"], row["low"], row["high"])
        told.append(f"{metric.replace('_', ' ').replace('auc', 'AUC')} {words}")
    return f"{best}: {', '.join(told)}, of people the model had not seen."
