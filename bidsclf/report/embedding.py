"""The section on harmonized embeddings: how well models do before and after."""

from typing import Any

import pandas as pd

from bidsclf.report import page
from bidsclf.report.tables import Analysis

NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auc": "AUC",
}
SAID = "auc"  # the metric of the sentence


def embedded(analysis: Analysis) -> list[str]:
    """Return the models whose embeddings were harmonized, as predictions.tsv has it."""
    rows = analysis.tables["predictions"]
    if "before" not in rows:
        return []
    told = rows[pd.to_numeric(rows["before"], errors="coerce").notna()]
    return [str(model) for model in told["model"].unique()]


def embedding(analysis: Analysis) -> dict[str, Any] | None:
    """Return a table of metrics and a sentence a model; None without embedding.tsv."""
    table = analysis.table("embedding")
    if table is None:
        return None
    records = [
        {
            "model": row["model"],
            "metric": NAMES.get(row["metric"], row["metric"]),
            "before": float(row["before"]),
            "after": float(row["after"]),
            "after less before": page.interval(
                row["difference"], row["low"], row["high"]
            ),
            "people": page.text(row["n"], 0),
        }
        for row in table.to_dict("records")
    ]
    columns = list(records[0])
    of_auc = table[table["metric"] == SAID].to_dict("records")
    return {
        "table": page.rows(records, columns, numbers=columns[2:]),
        "sentences": [_sentence(row) for row in of_auc],
    }


def _sentence(row: dict[Any, Any]) -> str:
    """Say whether harmonization changed the AUC beyond what people drawn may do."""
    before, after = (page.text(float(row[stage])) for stage in ("before", "after"))
    head = f"{row['model']}: the AUC is {before} before and {after} after harmonization"
    if pd.isna(row["low"]) or pd.isna(row["high"]):
        return f"{head}; there are too few people to judge the difference."
    if row["low"] <= 0 <= row["high"]:
        return f"{head}; the interval of the difference holds 0."
    more = "higher" if row["low"] > 0 else "lower"
    return f"{head}: {more}, by an interval that does not hold 0."
