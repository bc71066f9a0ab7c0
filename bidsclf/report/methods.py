"""The methods paragraph, written from what the run recorded."""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.files import store
from bidsclf.models._inner import INNER_FOLDS
from bidsclf.report import greymatter, page, training
from bidsclf.report.embedding import embedded
from bidsclf.report.harmonized import done_to, method_of
from bidsclf.report.preparation import (
    features_of,
    joined_runs,
    model_words,
    preparations,
    uses_torch,
)
from bidsclf.report.tables import Analysis
from bidsclf.report.trust import CONFOUNDS

TEXTS = {  # test of comparisons.tsv -> its words and references
    "delong": ("DeLong's test of AUCs", ("delong", "sun")),
    "mcnemar": ("McNemar's test of calls", ("mcnemar",)),
    "nadeau-bengio": ("the corrected resampled t test over splits", ("nadeau",)),
    "paired-t": (
        "a one-sided paired t test over splits, which takes overlapping training"
        " parts for independent and is too easily significant",
        (),
    ),
}


class References:
    """Numbers given to references in the order in which they are cited."""

    def __init__(self) -> None:
        folder = Path(__file__).parents[1] / "data" / "report"
        self.known: dict[str, str] = store.read_json(folder / "references.json")
        self.cited: list[str] = []

    def cite(self, *keys: str) -> str:
        """Return ``[1, 2]``; a key that is not known is an error."""
        self.cited += [key for key in keys if key not in self.cited and self.known[key]]
        return f"[{', '.join(str(self.cited.index(key) + 1) for key in keys)}]"

    def listed(self) -> list[str]:
        """Return what was cited, in order."""
        return [self.known[key] for key in self.cited]


def methods_text(analysis: Analysis) -> str:
    """Return the methods paragraph in Markdown, from settings and tables alone."""
    references, features = References(), features_of(analysis)
    about, settings = analysis.about, analysis.part("analysis")
    harmonize, folds = analysis.part("harmonize"), analysis.part("folds")
    learned = training.learned(analysis)
    values = facts(analysis) | {
        "models": [(m, model_words(m, f)) for m, f in features.items()],
        "preparations": partial(preparations, analysis, references.cite),
        "joined_runs": joined_runs(features),
        "networks": [m for m in features if uses_torch(m) or m in learned],
        "chosen": _chosen(analysis),
        "n_inner": INNER_FOLDS,
        "stopped": training.stopped(analysis),
        "trained": training.trained(analysis),
        "changed": [f"`{words}`" for words in settings.get("settings") or ()],
        "states": training.states(analysis),
        "source": training.source(analysis),
        "resample_tr_s": analysis.part("cohort").get("resample_tr_s"),
        "explained": partial(training.explained, analysis, references.cite),
        "latents": partial(greymatter.latents, analysis, references.cite),
        "folds": {"seed": folds.get("seed", 0)} | folds,
        "smooth": harmonize.get("smooth_terms") or ["age"],
        "unseen": harmonize.get("unseen"),
        "done": done_to(analysis),
        "untouched": _untouched(analysis),
        "embedded": embedded(analysis),
        "is_input_harmonized": analysis.table("sites") is not None,
        "n_bootstrap": settings.get("n_bootstrap", 1000),
        "n_permutations": settings.get("n_permutations"),
        "n_refit": settings.get("n_refit_permutations", 0),
        "tests": _tests(analysis),
        "confounds": _confounds(analysis),
        "has": _Stands(analysis),
        "versions": about["versions"],
    }
    return page.fill("methods.md", values | citing(references))


class _Stands:
    """Which optional tables stand, for a template."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis

    def __getattr__(self, name: str) -> bool:
        return self._analysis.table(name) is not None


def citing(references: References) -> dict[str, Any]:
    """Return what a template cites with, and its list at the end."""
    return {"cite": references.cite, "references": references.listed}


def facts(analysis: Analysis) -> dict[str, Any]:
    """Return what both texts and the page say of the people and the splits."""
    cohort, kept = analysis.tables["cohort"], analysis.kept
    n_positive = int((kept["y"].astype(float) == 1).sum())
    return {
        "n_people": len(kept),
        "n_positive": n_positive,
        "n_negative": len(kept) - n_positive,
        "n_excluded": len(cohort) - len(kept),
        "n_sites": int(kept["site"].nunique()),
        "n_tested": len(analysis.tested),
        "n_repeats": analysis.n_repeats,
        "averaged": averaged(analysis),
        "target": analysis.part("cohort")["target"],
        "positive": analysis.labels["1"],
        "negative": analysis.labels["0"],
        "cohort": {"include": None, "match": False, "runs": "average"}
        | {"covariates": [], "missing": "error", "group_column": None}
        | analysis.part("cohort"),
        "method": method_of(analysis),
        "scheme_words": scheme_words(analysis),
        "version": analysis.about["versions"]["bidsclf"],
    }


def averaged(analysis: Analysis) -> str:
    """Return over what the scores of a person were averaged; '' if over nothing."""
    if analysis.n_repeats == 1:
        return ""
    if analysis.unit == "repeat":
        return f"averaged over {analysis.n_repeats} repeats"
    mean = analysis.tested.mean()
    return (
        f"averaged over the rounds that did not draw them ({analysis.times} a person,"
        f" {mean:.1f} on average)"
    )


def scheme_words(analysis: Analysis) -> str:
    """Return a sentence on how people were split, from folds.tsv and the settings."""
    table, folds = analysis.tables["folds"], analysis.part("folds")
    n_folds = int(table.groupby("repeat")["fold"].nunique().max())
    n_repeats = int(table["repeat"].nunique())
    times = f", repeated {n_repeats} times" if n_repeats > 1 else ""
    if folds.get("folds_file"):
        name = Path(folds["folds_file"]).name
        return f"Splits were given in {name}: {n_folds} folds{times}."
    scheme = folds["scheme"]
    if scheme == "loso":
        return f"Each of {n_folds} sites was left out once."
    if scheme == "bootstrap":
        return (
            f"In each of {n_repeats} bootstrap rounds people were drawn with"
            " replacement within diagnosis and site, and those not drawn were tested."
        )
    return f"{n_folds}-fold cross-validation, stratified by diagnosis and site{times}."


def _fits(analysis: Analysis) -> list[dict[str, Any]]:
    return [n for n in analysis.about.get("notes", []) if n.get("notes")]


def _chosen(analysis: Analysis) -> tuple[list[str], list[str]]:
    """Return models whose cost inner folds chose, and the costs they chose from."""
    told = [
        fit
        for fit in _fits(analysis)
        if fit["notes"].get("inner_auc") and "n_states" not in fit["notes"]
    ]
    costs = [f"{float(c):g}" for fit in told[:1] for c in fit["notes"]["inner_auc"]]
    return list(dict.fromkeys(fit["model"] for fit in told)), costs


def _untouched(analysis: Analysis) -> list[str]:
    predictions = analysis.tables["predictions"]
    if method_of(analysis) == "none" or "harmonized" not in predictions:
        return []
    plain = predictions.groupby("model", sort=False)["harmonized"].agg(
        lambda done: bool((done == "none").all())
    )
    return [str(model) for model in plain.index[plain]]


def _confounds(analysis: Analysis) -> list[str]:
    table = analysis.table("confounds")
    named = [] if table is None else dict.fromkeys(table["confound"])
    return [CONFOUNDS.get(name, str(name)) for name in named]


def _tests(analysis: Analysis) -> list[tuple[str, tuple[str, ...]]]:
    """Return the tests between models, with the keys of their references."""
    table = analysis.table("comparisons")
    if table is None:
        return []
    named = dict.fromkeys(table.get("test", pd.Series(["delong"])))
    return [TEXTS.get(test, (str(test), ())) for test in named]
