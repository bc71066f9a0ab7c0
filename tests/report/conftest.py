"""A made-up analysis with every table, as the group level writes them."""

import shutil

import numpy as np
import pandas as pd
import pytest

from bidsclf.evaluate.comparison import comparisons_table
from bidsclf.evaluate.metrics import metrics_table
from bidsclf.files import store
from bidsclf.report import figures
from bidsclf.report.group import group_page

SITES = ("KKI", "NYU", "UCLA_1", "USM")
STRENGTHS = {
    "fc-svm": 0.9,
    "meanmlp": 0.4,
    "control-phenotype": 0.1,
    "control-motion": 0.15,
    "control-site": -0.1,
}
METRICS = ("auc", "accuracy", "balanced_accuracy")
FEATURE = {
    "input": "fisherz",
    "atlas": "cc200",
    "space": "MNI152NLin6Asym",
    "preprocessing": {"Strategy": "simple", "SmoothingFWHM": 0.0, "MinCoverage": 0.5},
}


def people_of(n, rng):
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{at:04d}" for at in range(n)],
            "site": rng.choice(SITES, n, p=(0.2, 0.4, 0.25, 0.15)),
            "y": rng.integers(2, size=n),
            "age": rng.uniform(8, 40, n).round(1),
            "sex": rng.choice(["male", "female"], n, p=(0.8, 0.2)),
        }
    )


def splits_of(people, n_repeats, n_folds, rng):
    """Return folds.tsv: every person is tested once a repeat."""
    ids, parts = people["participant_id"].to_numpy(), []
    for repeat in range(1, n_repeats + 1):
        fold = rng.permutation(np.arange(len(ids)) % n_folds) + 1
        for number in range(1, n_folds + 1):
            part = np.where(fold == number, "test", "train")
            parts.append(pd.DataFrame({"participant_id": ids, "part": part}))
            parts[-1].insert(0, "fold", number)
            parts[-1].insert(0, "repeat", repeat)
    return pd.concat(parts, ignore_index=True)


def predictions_of(people, folds, rng):
    tested = folds[folds["part"] == "test"].merge(people, on="participant_id")
    sign = 2 * tested["y"] - 1
    parts = []
    for model, strength in STRENGTHS.items():
        logit = 3 * (strength * sign + rng.normal(size=len(tested)))
        rows = tested[["participant_id", "site", "repeat", "fold"]].copy()
        rows.insert(2, "model", model)
        rows["truth"] = tested["y"]
        rows["score"] = 1 / (1 + np.exp(-logit))
        rows["probability"] = 1 / (1 + np.exp(-logit / 2.5))
        rows["harmonized"] = "site" if model.startswith("fc") else "none"
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def permutations_of(rng):
    rows = [
        (model, null, metric, 0.5 + value / 4, 0.5, 0.02, 0.001, 1000)
        for model, value in STRENGTHS.items()
        for null in ("fixed scores", "refit")
        for metric in METRICS
    ]
    names = "model null metric observed null_mean null_sd p n_permutations"
    return pd.DataFrame(rows, columns=names.split())


def experiment_of(metrics):
    folds = metrics[(metrics["scope"] == "fold") & metrics["metric"].isin(METRICS)]
    rows = []
    for (model, metric), found in folds.groupby(["model", "metric"], sort=False):
        values = found["estimate"].dropna()
        low, high = np.percentile(values, [2.5, 97.5])
        mean, median = values.mean(), values.median()
        rows.append((model, metric, len(values), mean, values.std(), median, low, high))
        rows[-1] += (3.1, 0.004, 0.06, 0.02, 0.5)
    names = "model metric n_splits mean sd median low high t p_t"
    return pd.DataFrame(
        rows, columns=[*names.split(), "p_nadeau_bengio", "p_percentile", "chance"]
    )


def roc_of():
    fpr, parts = np.linspace(0, 1, 101), []
    for model, strength in STRENGTHS.items():
        middle = fpr ** (1 / (1 + 2 * max(strength, 0)))
        wide = 0.1 * np.sqrt(fpr * (1 - fpr)) * 2
        names = ("p2_5", "p16", "p84", "p97_5")
        ends = zip(names, (-2, -1, 1, 2), strict=True)
        bands = {name: np.clip(middle + times * wide, 0, 1) for name, times in ends}
        rates = {"median": middle, "mean": middle - 0.01, "sd": wide} | bands
        parts.append(pd.DataFrame({"model": model, "fpr": fpr} | rates))
    return pd.concat(parts, ignore_index=True)


def calibration_of():
    rows = []
    for model in STRENGTHS:
        for stage, slope in (("before", 0.55), ("after", 0.95)):
            for low in np.arange(0, 1, 0.1):
                share = 0.5 + slope * (low + 0.05 - 0.5)
                rows.append((model, stage, low, low + 0.1, 20, low + 0.05, share))
    names = "model stage bin_low bin_high n mean_score share_positive"
    table = pd.DataFrame(rows, columns=names.split())
    share = table["share_positive"]
    return table.assign(low=(share - 0.1).clip(0), high=(share + 0.1).clip(upper=1))


def confounds_of():
    rows = [
        (model, confound, 240, 0.12, 0.01, 0.23, 0.03, 0.4, 0.08, 0.05)
        for model in STRENGTHS
        for confound in ("mean_fd", "n_volumes", "age")
    ]
    names = "model confound n r low high p p_holm r_within_site r_given_truth"
    return pd.DataFrame(rows, columns=names.split())


def screening_of(people, rng):
    """Return sites, site_map and qcfc: plain before, mixed after."""
    stages, parts = {"before": 1.6, "after": 0.05}, []
    for stage, gap in stages.items():
        rows = people[["participant_id", "site"]].copy()
        place = rows["site"].map({site: at for at, site in enumerate(SITES)})
        noise = rng.normal(size=(2, len(rows)))
        rows["pc1"] = gap * np.cos(place * 1.7) + noise[0]
        rows["pc2"] = gap * np.sin(place * 1.7) + noise[1]
        parts.append(rows.assign(stage=stage))
    sites = pd.DataFrame(
        {
            "features": "fisherz-edges",
            "stage": list(stages),
            "accuracy": [0.81, 0.36],
            "low": [0.76, 0.30],
            "high": [0.86, 0.42],
            "balanced_accuracy": [0.78, 0.25],
            "chance": 0.41,
            "n": len(people),
            "n_sites": len(SITES),
            "p_change": [np.nan, 1e-9],
        }
    )
    qcfc = pd.DataFrame(
        {
            "features": "fisherz-edges",
            "stage": list(stages),
            "n_edges": 19900,
            "median_abs_r": [0.11, 0.08],
            "share_p05": [0.31, 0.19],
            "share_fdr05": [0.14, 0.05],
        }
    )
    order = ["features", "stage", "participant_id", "site", "pc1", "pc2"]
    points = pd.concat(parts).assign(features="fisherz-edges")[order]
    return {"sites": sites, "site_map": points, "qcfc": qcfc}


def about_of(scheme, harmonize, covariates=("age", "sex")):
    told = {
        "method": harmonize,
        "sites": {site: 40 + at for at, site in enumerate(SITES)},
        "sites_too_small": {"CMU": 1},
        "n_unchanged": 3,
        "imputed": {"age": 2},
    }
    inner = {"0.1": 0.7, "1.0": 0.8, "30.0": 0.75}
    notes = {"temperature": 2.5, "inner_auc": inner} | (
        {} if harmonize == "none" else {"harmonizer": told}
    )
    return {
        "analysis_id": "main",
        "labels": {"0": "control", "1": "autism"},
        "command": "run.py in out group --harmonize combat --covariates age sex",
        "settings": {
            "level": "group",
            "cohort": {
                "target": "diagnosis",
                "covariates": list(covariates),
                "missing": "impute-train-median",
                "match": True,
                "include": "age < 40",
            },
            "folds": {"scheme": scheme, "valid_fraction": 0.15, "seed": 0},
            "harmonize": {"method": harmonize, "unseen": "identity"},
            "analysis": {
                "n_bootstrap": 1000,
                "n_permutations": 1000,
                "n_refit_permutations": 1000,
            },
        },
        "versions": {"bidsclf": "0.2.0", "scikit-learn": "1.9.1", "torch": "2.13.0"},
        "failed": {},
        "failed_tables": {},
        "fold_notes": ["site CMU has 3 people, fewer than 10 folds."],
        "notes": [
            {"model": "fc-svm", "unit": "fc-svm_fold-01", "notes": notes},
            {"model": "meanmlp", "unit": "meanmlp_fold-01", "notes": {"epoch": 9}},
        ],
    }


@pytest.fixture(scope="session")
def drawn_study(tmp_path_factory):
    """Return a made-up analysis with its pages; not to be changed."""
    folder = study(tmp_path_factory.mktemp("study"))
    group_page(folder)
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Leave figures blank, for what a page says of its tables."""
    for name in figures.__all__:
        if name != "Curve":
            monkeypatch.setattr(figures, name, lambda *_, **__: "<svg></svg>")


@pytest.fixture
def own_study(drawn_study, tmp_path):
    """Return a copy of its tables, to be changed."""
    for file in [*drawn_study.glob("*.tsv"), drawn_study / "analysis.json"]:
        shutil.copy(file, tmp_path)
    return tmp_path


def study(folder, *, scheme="kfold", harmonize="combat", n=240, n_repeats=2):
    rng = np.random.default_rng(7)
    people = people_of(n, rng)
    folds = splits_of(people, n_repeats, 10, rng)
    predictions = predictions_of(people, folds, rng)
    known = people[["participant_id", "age", "sex"]]
    metrics = metrics_table(predictions, known, n_bootstrap=100, seed=0)
    cohort = people.assign(included="yes", reason=None, label=people["y"].astype(str))
    out = [("sub-9001", "no age, which --match needs"), ("sub-9002", "no edges")]
    left = pd.DataFrame(out, columns=["participant_id", "reason"]).assign(included="no")
    tables = {
        "cohort": pd.concat([cohort, left]),
        "folds": folds,
        "predictions": predictions,
        "metrics": metrics,
        "comparisons": comparisons_table(predictions, folds),
        "permutations": permutations_of(rng),
        "experiment": experiment_of(metrics),
        "roc": roc_of(),
        "calibration": calibration_of(),
        "confounds": confounds_of(),
        **screening_of(people, rng),
    }
    for name, table in tables.items():
        store.write_table(folder / f"{name}.tsv", table)
    store.write_json(folder / "analysis.json", about_of(scheme, harmonize))
    store.write_json(
        folder / "models" / "fc-svm" / "final" / "model.json",
        {"context": {"feature": FEATURE}},
    )
    return folder
