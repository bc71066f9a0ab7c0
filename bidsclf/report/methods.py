"""The methods paragraph, written from what the run recorded."""

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.files import store
from bidsclf.report import page
from bidsclf.report.harmonization import method_of
from bidsclf.report.tables import Analysis, pooled
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
    references = References()
    about, settings = analysis.about, analysis.part("analysis")
    harmonize, folds = analysis.part("harmonize"), analysis.part("folds")
    values = facts(analysis) | {
        "models": _models(analysis),
        "folds": {"seed": folds.get("seed", 0)} | folds,
        "smooth": harmonize.get("smooth_terms") or ["age"],
        "unseen": harmonize.get("unseen"),
        "untouched": _untouched(analysis),
        "n_repeats": int(analysis.tables["folds"]["repeat"].nunique()),
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


def _models(analysis: Analysis) -> list[tuple[list[str], str, list[str]]]:
    """Return models of one family, what the family is, and what they read."""
    inputs = inputs_of(analysis)
    families: dict[str, list[str]] = {}
    for name in map(str, pooled(analysis.metrics, "auc").index):
        families.setdefault(name.partition("-")[0], []).append(name)
    return [
        (names, _words(names[0]), sorted({inputs[n] for n in names if n in inputs}))
        for names in families.values()
    ]


def _words(model: str) -> str:
    """Return the first line of the model's file, without importing it."""
    spec = find_spec("bidsclf.models")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    file = folder / f"{model.partition('-')[0]}.py"
    if not file.is_file():
        return "a model that this version does not know."
    told = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    line = told.partition("\n")[0]
    return line[:1].lower() + line[1:]


def inputs_of(analysis: Analysis) -> dict[str, str]:
    """Return what each model read, as its bundle of any fold says."""
    found = {}
    for name in pooled(analysis.metrics, "auc").index:
        bundles = sorted((analysis.folder / "models" / str(name)).glob("*/model.json"))
        if bundles:
            feature = store.read_json(bundles[0]).get("context", {}).get("feature", {})
            words = [f"{k} {feature[k]}" for k in ("atlas", "desc") if feature.get(k)]
            if feature.get("input"):
                found[str(name)] = " ".join(
                    [feature["input"], f"({', '.join(words)})" if words else ""]
                ).strip()
    return found


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
