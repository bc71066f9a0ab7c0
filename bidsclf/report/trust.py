"""Sections on what a score means: its calibration, and what else it follows."""

from typing import Any

import pandas as pd

from bidsclf.report import figures, page
from bidsclf.report.page import is_control
from bidsclf.report.tables import Analysis, pooled, select

ERRORS = {  # metric -> heading of the table of calibration
    "ece": "calibration error (ECE)",
    "brier": "Brier score",
    "log_loss": "log loss",
}
CONFOUNDS = {
    "mean_fd": "head motion (mean FD)",
    "n_volumes": "scan length (volumes)",
    "age": "age",
}
EDGES = ("features", "stage", "edges", "median |r|", "p < .05", "FDR < .05")
SCORES = ("model", "score against", "people", "Spearman's r", "r within sites",
          "r given the diagnosis", "p", "p (Holm)")  # fmt: skip


def calibration(analysis: Analysis) -> dict[str, Any] | None:
    """Return a curve a model of the brain, and the errors of all models."""
    table = analysis.table("calibration")
    if table is None:
        return None
    names = [name for name in dict.fromkeys(table["model"]) if not is_control(name)]
    return {
        "figures": {name: _reliability(table, name) for name in names},
        "table": _errors(analysis.metrics),
        "is_done": bool((table["stage"] == "after").any()),
    }


def _reliability(table: pd.DataFrame, model: str) -> str:
    stages = {
        stage: _curve(select(table, model=model, stage=stage))
        for stage in ("before", "after")
    }
    return figures.reliability(stages["before"], stages["after"], model)


def _curve(rows: pd.DataFrame) -> figures.Curve | None:
    rows = rows.dropna(subset=["mean_score", "share_positive"])
    if rows.empty:
        return None
    names = ["mean_score", "share_positive", "low", "high"]
    return figures.Curve(*(rows[name].to_numpy(float) for name in names))


def _errors(metrics: pd.DataFrame) -> page.Rows:
    columns = {heading: pooled(metrics, metric) for metric, heading in ERRORS.items()}
    records = []
    for model in pooled(metrics, "auc").index:
        record = {"model": model}
        for heading, rows in columns.items():
            if model in rows.index:
                values = rows.loc[model, ["estimate", "low", "high"]].to_numpy(float)
                record[heading] = page.interval(*values)
        records.append(record)
    return page.rows(records, ["model", *columns], numbers=columns)


def confounds(analysis: Analysis) -> page.Rows | None:
    """Return how scores go with motion, scan length and age."""
    table = analysis.table("confounds")
    if table is None:
        return None
    records = [
        {
            "model": row["model"],
            "score against": CONFOUNDS.get(row["confound"], row["confound"]),
            "people": int(row["n"]),
            "Spearman's r": page.interval(row["r"], row["low"], row["high"]),
            "r within sites": row.get("r_within_site"),
            "r given the diagnosis": row.get("r_given_truth"),
            "p": page.p_value(row["p"]),
            "p (Holm)": page.p_value(row["p_holm"]),
        }
        for row in table.to_dict("records")
    ]
    known = [name for name in SCORES if any(name in record for record in records)]
    return page.rows(records, known, numbers=known[2:])


def motion_in_edges(analysis: Analysis) -> page.Rows | None:
    """Return QC-FC: how many edges go with head motion, before and after."""
    table = analysis.table("qcfc")
    if table is None:
        return None
    records = [
        {
            "features": row["features"],
            "stage": row["stage"],
            "edges": int(row["n_edges"]),
            "median |r|": page.text(float(row["median_abs_r"]), 3),
            "p < .05": f"{row['share_p05']:.1%}",
            "FDR < .05": f"{row['share_fdr05']:.1%}",
        }
        for row in table.to_dict("records")
    ]
    return page.rows(records, EDGES, numbers=EDGES[2:])
