"""The page of one group analysis: a verdict, then what it rests on."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.metrics import roc_curve

from bidsclf.errors import InputError
from bidsclf.evaluate.metrics import THRESHOLD
from bidsclf.files import store
from bidsclf.files.people import phenotype
from bidsclf.report import figures, page
from bidsclf.report.page import is_control
from bidsclf.report.verdict import judge, pooled

FOLDS = "AUC of folds: mean (SD), range"
SHOWN = {  # metric -> heading of the table of models
    "auc": "AUC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}


def group_page(analysis: Path) -> Path:
    """Write ``report.html`` and ``figures/`` of a finished analysis.

    Parameters
    ----------
    analysis : Path
        Folder with cohort.tsv, folds.tsv, predictions.tsv, metrics.tsv,
        comparisons.tsv and analysis.json.
    """
    about = store.read_json(analysis / "analysis.json")
    tables = {
        name: store.read_table(
            analysis / f"{name}.tsv", text=("participant_id", "site")
        )
        for name in ("cohort", "folds", "predictions")
    }
    for name in ("metrics", "comparisons"):
        tables[name] = store.read_table(analysis / f"{name}.tsv", text=("group",))
    drawn = _figures(tables, about["labels"])
    for name, figure in drawn.items():
        store.write_text(analysis / "figures" / f"{name}.svg", _standalone(figure))
    values = {
        "analysis": about["analysis_id"],
        "target": about["settings"]["cohort"]["target"],
        "positive": about["labels"]["1"],
        "negative": about["labels"]["0"],
        "scheme": _scheme(tables["folds"], about["settings"]),
        "failures": [
            {"unit": model, "message": message}
            for model, message in about["failed"].items()
        ],
        "level": "95 %",
        "averaged": _averaged(tables["folds"]),
        "command": about["command"],
        "settings": json.dumps(about["settings"], indent=2, ensure_ascii=False),
        "versions": json.dumps(about["versions"], indent=2, ensure_ascii=False),
        "verdict": judge(
            tables["metrics"],
            tables["comparisons"],
            failed=about["failed"],
            scheme=about["settings"]["folds"]["scheme"],
        ),
        "roc": drawn["roc"],
        "forest": drawn["auc"],
        "folds": drawn["folds"],
        "confusions": [v for k, v in drawn.items() if k.startswith("confusion")],
        **_tables(tables, about["labels"]),
    }
    return page.write(analysis / "report.html", "group", values)


def _standalone(figure: str) -> str:
    return '<?xml version="1.0" encoding="utf-8"?>\n' + figure


def _figures(tables: dict[str, pd.DataFrame], labels: dict[str, str]) -> dict[str, str]:
    metrics, predictions = tables["metrics"], tables["predictions"]
    auc = pooled(metrics, "auc")
    person = ["model", "participant_id"]
    scores = predictions.groupby(person, sort=False).agg(
        truth=("truth", "first"), score=("score", "mean")
    )
    curves, confusions = {}, {}
    for model in auc.index:
        rows = scores.loc[model]
        fpr, tpr, _ = roc_curve(rows["truth"], rows["score"])
        curves[model] = (fpr, tpr, f"{auc.loc[model, 'estimate']:.2f}")
        called = (rows["score"] >= THRESHOLD).astype(int)
        counts = pd.crosstab(rows["truth"], called)
        counts = counts.reindex(index=[0, 1], columns=[0, 1], fill_value=0)
        confusions[f"confusion-{model}"] = figures.confusion(
            counts.to_numpy(), [labels["0"], labels["1"]], model
        )
    lines = [
        (str(model), *map(float, row))
        for model, row in zip(
            auc.index, auc[["estimate", "low", "high"]].to_numpy(), strict=True
        )
    ]
    return {
        "roc": figures.roc(curves),
        "auc": figures.forest(lines, "AUC, pooled out of fold"),
        "folds": figures.folds(_fold_aucs(metrics), "AUC in a fold"),
        **confusions,
    }


def _tables(tables: dict[str, pd.DataFrame], labels: dict[str, str]) -> dict[str, Any]:
    cohort, metrics = tables["cohort"], tables["metrics"]
    kept = cohort[cohort["included"] == "yes"]
    return {
        "n_people": len(kept),
        "n_positive": int((kept["y"].astype(float) == 1).sum()),
        "n_sites": kept["site"].nunique(),
        "models": _models(metrics),
        "comparisons": page.rows(
            [
                {
                    "model": f"{row['model_a']} against {row['model_b']}",
                    "difference": page.interval(
                        row["difference"], row["low"], row["high"]
                    ),
                    "p": page.p_value(row["p"]),
                    "p (Holm)": page.p_value(row["p_holm"]),
                }
                for row in tables["comparisons"].to_dict("records")
                if not (is_control(row["model_a"]) and is_control(row["model_b"]))
            ],
            ["model", "difference", "p", "p (Holm)"],
            numbers=("difference", "p", "p (Holm)"),
        ),
        "sites": _sites(metrics),
        "cohort": _cohort(kept, labels),
        "excluded": page.rows(
            cohort.loc[cohort["included"] != "yes", ["participant_id", "reason"]]
            .groupby("reason")["participant_id"]
            .agg(people=lambda ids: ", ".join(ids), n="size")
            .reset_index()
            .to_dict("records"),
            ["reason", "n", "people"],
            numbers=("n",),
        ),
    }


def _scheme(folds: pd.DataFrame, settings: dict[str, Any]) -> str:
    n_folds = folds.groupby("repeat")["fold"].nunique().max()
    n_repeats = folds["repeat"].nunique()
    if settings["folds"]["scheme"] == "loso":
        return f"each of {n_folds} sites left out once"
    once = f"{n_folds}-fold cross-validation"
    return f"{once}, repeated {n_repeats} times" if n_repeats > 1 else once


def _averaged(folds: pd.DataFrame) -> str:
    n_repeats = folds["repeat"].nunique()
    return f", their scores averaged over {n_repeats} repeats" if n_repeats > 1 else ""


def _models(metrics: pd.DataFrame) -> page.Rows:
    columns = {heading: pooled(metrics, metric) for metric, heading in SHOWN.items()}
    folds = _fold_aucs(metrics)
    records = []
    for model, aucs in folds.items():
        known = pd.Series(aucs, dtype=float).dropna()
        ends = f", {known.min():.2f} to {known.max():.2f}" if len(known) else ""
        record = {"model": model, FOLDS: page.mean_sd(known, 2) + ends}
        for heading, rows in columns.items():
            values = rows.loc[model, ["estimate", "low", "high"]].to_numpy(float)
            record[heading] = page.interval(*values)
        records.append(record)
    auc, *others = columns
    headings = [auc, FOLDS, *others]
    return page.rows(records, ["model", *headings], numbers=headings)


def _fold_aucs(metrics: pd.DataFrame) -> dict[str, list[float]]:
    folds = metrics[(metrics["scope"] == "fold") & (metrics["metric"] == "auc")]
    return {
        str(model): folds.loc[folds["model"] == model, "estimate"].tolist()
        for model in pooled(metrics, "auc").index
    }


def _sites(metrics: pd.DataFrame) -> page.Rows:
    rows = metrics[(metrics["scope"] == "site") & (metrics["metric"] == "auc")]
    records = []
    for site, group in rows.groupby("group"):
        record = {"site": site, "people": int(group["n"].iloc[0])}
        for row in group.to_dict("records"):
            record[row["model"]] = page.interval(
                row["estimate"], row["low"], row["high"]
            )
        records.append(record)
    models = list(dict.fromkeys(rows["model"]))
    return page.rows(records, ["site", "people", *models], numbers=["people", *models])


def _cohort(kept: pd.DataFrame, labels: dict[str, str]) -> page.Rows:
    """Return people, ages and sexes of each site, group by group."""
    records = []
    for site, people in [*kept.groupby("site"), ("all", kept)]:
        record: dict[str, Any] = {"site": site, "people": len(people)}
        groups = {
            name: people[people["y"].astype(float) == float(code)]
            for code, name in labels.items()
        }
        record |= {name: len(group) for name, group in groups.items()}
        for name, group in groups.items():
            record |= {f"{k}, {name}": v for k, v in _traits(group).items()}
        records.append(record)
    columns = list(records[0])
    return page.rows(records, columns, numbers=columns[1:])


def _traits(people: pd.DataFrame) -> dict[str, str]:
    """Return mean age and the count of each sex, where the study knows them."""
    try:
        known = phenotype(people)
    except InputError:  # it knows neither
        return {}
    found = {}
    if "age" in known:
        found["age"] = page.mean_sd(known["age"])
    if "sex" in known:
        counts = known["sex"].value_counts().sort_index()
        found["sex"] = ", ".join(f"{n} {sex}" for sex, n in counts.items())
    return found
