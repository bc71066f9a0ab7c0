"""Sections on the models: how good each is, against the others and chance."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from bidsclf.evaluate.metrics import THRESHOLD
from bidsclf.report import figures, page
from bidsclf.report.page import is_control
from bidsclf.report.tables import Analysis, best_model, pooled, select, split_values

SPREAD = "AUC of splits: mean (SD), range"
WITHIN = "AUC within sites"
SHOWN = {  # metric -> heading of the table of models
    "auc": "AUC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
}
TESTS = {  # test -> its name in a heading
    "delong": "DeLong",
    "mcnemar": "McNemar",
    "nadeau-bengio": "Nadeau-Bengio",
    "paired-t": "one-sided t",
}
METRICS = {"auc": "AUC", "accuracy": "accuracy"}
FIRST = ("model", "null")
SPLITS = ("model", "metric", "splits", "mean (SD)", "median, 95 % of splits", "chance",
          "p, t test", "p, Nadeau-Bengio", "p, percentile")  # fmt: skip
ENOUGH = 20  # splits: with fewer the smallest percentile p is not below .05


def models_table(analysis: Analysis) -> page.Rows:
    """Return every model with its pooled metrics.

    The AUC of its splits stands here only where no table of splits follows.
    """
    metrics = analysis.metrics
    columns = {heading: pooled(metrics, metric) for metric, heading in SHOWN.items()}
    within = select(metrics, scope="within site", metric="auc")
    if not within.empty:
        columns[WITHIN] = within.drop_duplicates("model").set_index("model")
    records = []
    for model, aucs in split_values(metrics, "auc").items():
        known = pd.Series(aucs, dtype=float).dropna()
        ends = f", {known.min():.2f} to {known.max():.2f}" if len(known) else ""
        record = {"model": model, SPREAD: page.mean_sd(known, 2) + ends}
        for heading, rows in columns.items():
            if model in rows.index:
                values = rows.loc[model, ["estimate", "low", "high"]].to_numpy(float)
                record[heading] = page.interval(*values)
        records.append(record)
    first = [name for name in ("AUC", WITHIN) if name in columns]
    folds = [SPREAD] if analysis.table("experiment") is None else []
    headings = [*first, *folds, *(name for name in columns if name not in first)]
    return page.rows(records, ["model", *headings], numbers=headings)


def model_figures(analysis: Analysis) -> dict[str, str]:
    """Draw the pooled ROC, the AUCs, the folds and who is called what."""
    metrics, predictions = analysis.metrics, analysis.tables["predictions"]
    auc = pooled(metrics, "auc")
    person = ["model", "participant_id"]
    scores = predictions.groupby(person, sort=False).agg(
        truth=("truth", "first"), score=("score", "mean")
    )
    names = [analysis.labels["0"], analysis.labels["1"]]
    curves, confusions = {}, {}
    for model in auc.index:
        rows = scores.loc[model]
        fpr, tpr, _ = roc_curve(rows["truth"], rows["score"])
        curves[model] = (fpr, tpr, f"{auc.loc[model, 'estimate']:.2f}")
        called = (rows["score"] >= THRESHOLD).astype(int)
        counts = pd.crosstab(rows["truth"], called)
        counts = counts.reindex(index=[0, 1], columns=[0, 1], fill_value=0)
        confusions[f"confusion-{model}"] = figures.confusion(
            counts.to_numpy(), names, model
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
        "folds": figures.folds(split_values(metrics, "auc"), "AUC of a split"),
        **confusions,
    }


def comparisons(analysis: Analysis) -> dict[str, page.Rows] | None:
    """Return the pairs of the best model, the other pairs, and the one-sided tests.

    The best model is first in its pairs; two-sided tests are the same both ways.
    The one-sided ones stay as they were asked. p values are corrected by Holm over
    all pairs of a test and metric. Pairs of two controls are left out of the page,
    not of the correction.
    """
    table = analysis.table("comparisons")
    if table is None:
        return None
    table = table.assign(
        metric=table.get("metric", "auc"), test=table.get("test", "delong")
    )
    both = table["model_a"].map(is_control) & table["model_b"].map(is_control)
    is_one_sided = table["test"] == "paired-t"
    best = best_model(analysis.metrics)
    two_sided = _turned(table[~both & ~is_one_sided], best)
    is_best = two_sided["model_a"] == best
    return {
        "best": _pairs(two_sided[is_best], two_sided, "against"),
        "others": _pairs(two_sided[~is_best], two_sided, "against"),
        "one_sided": _pairs(table[~both & is_one_sided], table[is_one_sided], "above"),
    }


def _turned(table: pd.DataFrame, best: str | None) -> pd.DataFrame:
    """Return pairs with the best model first, differences with it."""
    swap = {"model_a": "model_b", "model_b": "model_a", "low": "high", "high": "low"}
    is_second = table["model_b"] == best
    turned = table[is_second].rename(columns=swap)
    numbers = ["difference", "low", "high"]
    turned[numbers] = -turned[numbers]
    return pd.concat([table[~is_second], turned]).sort_index()


def _pairs(rows: pd.DataFrame, kinds: pd.DataFrame, word: str) -> page.Rows:
    """Return a line a pair, with the tests and metrics that ``kinds`` has."""
    records = [
        {"model": f"{a} {word} {b}"} | _pair(tests)
        for (a, b), tests in rows.groupby(["model_a", "model_b"], sort=False)
    ]
    named = dict.fromkeys(zip(kinds["test"], kinds["metric"], strict=True))
    headings = [*_differences(kinds), *(_heading(*kind) for kind in named)]
    return page.rows(records, ["model", *headings], numbers=headings)


def _heading(test: str, metric: str) -> str:
    return f"{TESTS.get(test, test)} p, {METRICS.get(metric, metric)}"


def _differences(table: pd.DataFrame) -> list[str]:
    known = [name for name in METRICS if (table["metric"] == name).any()]
    return [f"difference in {METRICS[name]}" for name in known]


def _pair(tests: pd.DataFrame) -> dict[str, str]:
    """Return the cells of one pair: each metric's difference, each test's p."""
    cells = {}
    for row in tests.to_dict("records"):
        name = f"difference in {METRICS.get(row['metric'], row['metric'])}"
        if name not in cells:
            cells[name] = page.interval(row["difference"], row["low"], row["high"])
        cells[_heading(row["test"], row["metric"])] = page.p_value(row["p_holm"])
    return cells


def permutations(analysis: Analysis) -> dict[str, Any] | None:
    """Return what permuted labels give: a line a model and way of permuting.

    With it goes the smallest p that so many permutations can give.

    Balanced accuracy, in the table, is nearly the accuracy and not shown.
    """
    table = analysis.table("permutations")
    if table is None:
        return None
    records, headings = [], ["permutations"]
    for (model, null), rows in table.groupby(["model", "null"], sort=False):
        record = {"model": model, "null": null}
        record["permutations"] = int(rows["n_permutations"].iloc[0])
        for row in rows[rows["metric"].isin(METRICS)].to_dict("records"):
            name = METRICS[row["metric"]]
            spread = f"{page.text(row['null_mean'])} ({page.text(row['null_sd'])})"
            record[name] = f"{page.text(row['observed'])} against {spread}"
            record[f"p, {name}"] = page.p_value(row["p"])
        headings += [name for name in record if name not in (*headings, *FIRST)]
        records.append(record)
    counts = sorted(set(table["n_permutations"].astype(int)))
    least = [f"{n} permutations give none below {_least(n)}" for n in counts]
    made = page.rows(records, [*FIRST, *headings], numbers=headings)
    has_refit = bool((table["null"] == "refit").any())
    return {"table": made, "least": "; ".join(least), "has_refit": has_refit}


def _least(n_permutations: int) -> str:
    return page.p_value(page.smallest_p(n_permutations)).removeprefix("< ")


def splits(analysis: Analysis) -> dict[str, Any] | None:
    """Return the spread over splits: two pictures of the best model, one table."""
    table, best = analysis.table("experiment"), best_model(analysis.metrics)
    if table is None or best is None:
        return None
    return {
        "histogram": _histogram(analysis.metrics, table, best),
        "band": _band(analysis.table("roc"), best),
        "table": _experiment(table),
        "has_percentile": _has_percentile(table),
    }


def _histogram(metrics: pd.DataFrame, table: pd.DataFrame, best: str) -> str | None:
    found = select(table, model=best, metric="accuracy")
    values = np.array(split_values(metrics, "accuracy").get(best, []), float)
    values = values[np.isfinite(values)]
    if found.empty or not values.size:
        return None
    row = found.iloc[0]
    title = f"{best}: accuracy of {values.size} splits"
    return figures.histogram(values, row["chance"], (row["low"], row["high"]), title)


def _band(roc: pd.DataFrame | None, best: str) -> str | None:
    rows = None if roc is None else select(roc, model=best).dropna()
    if rows is None or rows.empty:
        return None
    rates = {str(name): rows[name].to_numpy(float) for name in rows.columns[2:]}
    return figures.roc_band(
        rows["fpr"].to_numpy(float), rates, f"{best}: ROC of splits"
    )


def _has_percentile(table: pd.DataFrame) -> bool:
    return bool((table["n_splits"] >= ENOUGH).any())


def _experiment(table: pd.DataFrame) -> page.Rows:
    records = [
        {
            "model": row["model"],
            "metric": METRICS[row["metric"]],
            "splits": int(row["n_splits"]),
            "mean (SD)": f"{page.text(row['mean'])} ({page.text(row['sd'])})",
            "median, 95 % of splits": page.interval(
                row["median"], row["low"], row["high"]
            ),
            "chance": row["chance"],
            "p, t test": page.p_value(row["p_t"]),
            "p, Nadeau-Bengio": page.p_value(row["p_nadeau_bengio"]),
            "p, percentile": page.p_value(row["p_percentile"])
            if row["n_splits"] >= ENOUGH
            else page.MISSING,
        }
        for row in table[table["metric"].isin(METRICS)].to_dict("records")
    ]
    columns = SPLITS if _has_percentile(table) else SPLITS[:-1]
    return page.rows(records, columns, numbers=columns[2:])
