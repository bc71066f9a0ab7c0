"""The page of one group analysis: a verdict, then what it rests on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from bidsclf.files import store
from bidsclf.report import figures, page

SHOWN = {  # metric -> heading of the table of models
    "auc": "AUC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
CONTROL = "control-"


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
        "command": about["command"],
        "settings": json.dumps(about["settings"], indent=2, ensure_ascii=False),
        "versions": json.dumps(about["versions"], indent=2, ensure_ascii=False),
        "verdict": verdict(tables["metrics"], tables["comparisons"]),
        "roc": drawn["roc"],
        "forest": drawn["auc"],
        "folds": drawn["folds"],
        "confusions": [v for k, v in drawn.items() if k.startswith("confusion")],
        **_tables(tables, about["labels"]),
    }
    return page.write(analysis / "report.html", "group", values)


def _standalone(figure: str) -> str:
    return '<?xml version="1.0" encoding="utf-8"?>\n' + figure


def pooled(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the pooled rows of one metric, one a model, in the order of the table."""
    rows = metrics[(metrics["scope"] == "pooled") & (metrics["metric"] == metric)]
    return rows.drop_duplicates("model").set_index("model")


def verdict(metrics: pd.DataFrame, comparisons: pd.DataFrame) -> dict[str, str]:
    """Return the ten-second answer: the best model, and whether it beats the controls.

    A model beats a control when the 95 % interval of their difference in AUC
    lies above zero. It must beat every control and chance itself, since a
    control that knows nothing often falls below .5 in cross-validation.
    """
    auc = pooled(metrics, "auc")
    is_control = auc.index.str.startswith(CONTROL)
    models, controls = auc[~is_control], auc[is_control]
    if models.empty or models["estimate"].isna().all():
        return {"mood": "", "headline": "Only control models were run.", "sentence": ""}
    best = str(models["estimate"].idxmax())
    headline = (
        f"{best}: AUC {page.interval(*models.loc[best, ['estimate', 'low', 'high']])}."
    )
    chosen = (
        f" It is the best of {len(models)} models, chosen after seeing them all:"
        " its own figure is a little too good."
        if len(models) > 1
        else ""
    )
    if controls.empty:
        sentence = "No control model stands beside it, so it cannot be judged."
        return {"mood": "bad", "headline": headline, "sentence": sentence}
    lost = [c for c in controls.index if not _beats(comparisons, best, c)]
    if not models.loc[best, "low"] > 0.5:
        lost.append("chance (AUC .5)")
    if lost:
        sentence = (
            f"Better than every control: no. Not clearly above {', '.join(lost)}."
        )
        return {"mood": "bad", "headline": headline, "sentence": sentence + chosen}
    sentence = (
        "Better than every control: yes"
        " (each 95 % interval of the difference in AUC lies above 0)."
    )
    return {"mood": "good", "headline": headline, "sentence": sentence + chosen}


def _is_control(model: str) -> bool:
    return model.startswith(CONTROL)


def _beats(comparisons: pd.DataFrame, model: str, control: str) -> bool:
    forth = comparisons.query("model_a == @model and model_b == @control")
    back = comparisons.query("model_a == @control and model_b == @model")
    lows = [*forth["low"], *(-back["high"])]
    return bool(lows) and min(lows) > 0


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
        called = (rows["score"] >= 0.5).astype(int)
        counts = pd.crosstab(rows["truth"], called)
        counts = counts.reindex(index=[0, 1], columns=[0, 1], fill_value=0)
        confusions[f"confusion-{model}"] = figures.confusion(
            counts.to_numpy(), [labels["0"], labels["1"]], model
        )
    folds = metrics[(metrics["scope"] == "fold") & (metrics["metric"] == "auc")]
    per_fold = {
        m: folds.loc[folds["model"] == m, "estimate"].tolist() for m in auc.index
    }
    lines = [
        (str(model), *map(float, row))
        for model, row in zip(
            auc.index, auc[["estimate", "low", "high"]].to_numpy(), strict=True
        )
    ]
    return {
        "roc": figures.roc(curves),
        "auc": figures.forest(lines, "AUC, pooled out of fold"),
        "folds": figures.folds(per_fold, "AUC in a fold"),
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
                if not (_is_control(row["model_a"]) and _is_control(row["model_b"]))
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


def _models(metrics: pd.DataFrame) -> page.Rows:
    columns = {heading: pooled(metrics, metric) for metric, heading in SHOWN.items()}
    means = metrics[
        (metrics["scope"] == "mean of folds") & (metrics["metric"] == "auc")
    ]
    means = means.set_index("model")
    records = []
    for model in columns["AUC"].index:
        record = {"model": model}
        for heading, rows in columns.items():
            values = rows.loc[model, ["estimate", "low", "high"]].to_numpy(float)
            record[heading] = page.interval(*values)
        if model in means.index:
            mean, sd = means.loc[model, ["estimate", "sd"]].to_numpy(float)
            record["AUC of folds, mean (SD)"] = f"{mean:.2f} ({sd:.2f})"
        records.append(record)
    headings = [*columns, "AUC of folds, mean (SD)"]
    return page.rows(records, ["model", *headings], numbers=headings)


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
    records = []
    for site, people in [*kept.groupby("site"), ("all", kept)]:
        y = people["y"].astype(float)
        record = {"site": site, "people": len(people)}
        record |= {name: int((y == float(code)).sum()) for code, name in labels.items()}
        if "age" in people:
            age = pd.to_numeric(people["age"], errors="coerce")
            record["age, mean (SD)"] = f"{np.mean(age):.1f} ({np.std(age, ddof=1):.1f})"
        records.append(record)
    columns = list(records[0])
    return page.rows(records, columns, numbers=columns[1:])
