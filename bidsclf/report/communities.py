"""Functional communities: the most influential ones, their sizes, whether they hold."""

from typing import Any

import numpy as np
import pandas as pd

from bidsclf.report import figures, page
from bidsclf.report.attribution import at_chance, points_of
from bidsclf.report.tables import Analysis, select

N_SHOWN = 3  # most influential, as the paper shows
N_TERMS = 5
N_NETWORKS = 3
PARAFAC = "parafac"
FINAL = 0  # fold of the model of everyone
MEASURES = {  # column -> its name in the figure
    "mean_size": "mean size (regions)",
    "correlation": "correlation of weights",
    "dice": "Dice of members",
}


def communities(analysis: Analysis) -> list[dict[str, Any]]:
    """Return for each model with communities the most influential, and their sizes."""
    influence, weights = analysis.table("influence"), analysis.table("communities")
    if influence is None or weights is None:
        return []
    told = []
    influence = influence.dropna(subset=["community", "fold", "influence", "rank"])
    for name, rows in influence.groupby("model", sort=False):
        model, fold = str(name), _fold(rows)
        own = rows[rows["fold"] == fold].sort_values("rank")
        if own.empty:
            continue
        members = select(weights, model=model)
        members = members[(members["fold"] == fold) & (members["member"] == 1)]
        top = own.head(N_SHOWN).to_dict("records")
        total = float(own["influence"].sum())
        told.append(
            {
                "model": model,
                "chance": at_chance(analysis, model),
                "whose": "the final model, which learned from everyone"
                if fold == FINAL
                else f"the model of fold {fold}, since the final one is not there",
                "alike": f"{1 / len(own):.1%}",
                "shown": [_one(analysis, model, row, members, total) for row in top],
                "sizes": _sizes(analysis, model, rows),
            }
        )
    return told


def _fold(rows: pd.DataFrame) -> int:
    """Return the fold that is shown: the final model, or else the first."""
    folds = sorted(int(fold) for fold in rows["fold"].dropna().unique())
    return folds[0] if folds else FINAL


def _one(
    analysis: Analysis,
    model: str,
    row: dict[Any, Any],
    members: pd.DataFrame,
    total: float,
) -> dict[str, Any]:
    """Return one community: its picture, and what is known of it."""
    number = int(row["community"])
    own = members[members["community"] == number]
    own = own.sort_values("weight", ascending=False, kind="stable")
    n = len(own)
    share = page.MISSING if not total > 0 else f"{row['influence'] / total:.1%}"
    facts = [
        f"{n} region{'' if n == 1 else 's'}, {share} of the influence.",
        _networks(analysis, model, number),
        _terms(analysis, model, number),
    ]
    return {
        "name": f"Community {number}, rank {int(row['rank'])}",
        "brain": _brain(analysis, model, number, own),
        "facts": [fact for fact in facts if fact],
        "regions": [str(name) for name in own["region"]],
    }


def _brain(
    analysis: Analysis, model: str, number: int, members: pd.DataFrame
) -> str | None:
    points = points_of(analysis)
    known = members[members["region"].isin(points.index)]
    if known.empty:
        return None
    where = points.loc[known["region"]].to_numpy(float)
    title = f"{model}, community {number}"
    return figures.brain(where, known["weight"].to_numpy(float), title)


def _of_community(
    analysis: Analysis, table: str, model: str, number: int
) -> pd.DataFrame:
    found = analysis.table(table)
    if found is None:
        return pd.DataFrame()
    rows = found[(found["model"] == model) & (found["community"] == number)]
    return rows[rows["fold"] == FINAL] if "fold" in rows else rows


def _networks(analysis: Analysis, model: str, number: int) -> str:
    rows = _of_community(analysis, "overlap", model, number)
    if rows.empty or rows["network"].isna().all():
        return ""
    rows = rows.dropna(subset="network")
    rows = rows[rows["share"] > 0].sort_values("share", ascending=False, kind="stable")
    if rows.empty:
        return "In no network that is known."
    told = [
        f"{row['network']} {row['share']:.0%}"
        for row in rows.head(N_NETWORKS).to_dict("records")
    ]
    return f"In networks: {', '.join(told)} of its regions."


def _terms(analysis: Analysis, model: str, number: int) -> str:
    rows = _of_community(analysis, "decoding", model, number)
    if rows.empty:
        return ""
    told = [
        f"{row['term']} ({row['correlation']:.2f})"
        for row in rows.sort_values("rank").head(N_TERMS).to_dict("records")
    ]
    return f"Terms of studies: {', '.join(told)}."


def _sizes(analysis: Analysis, model: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the sizes of communities in the folds, beside PARAFAC's mean sizes."""
    rows = rows[rows["fold"] != FINAL] if (rows["fold"] != FINAL).any() else rows
    counts = rows["n_members"].dropna().to_numpy(float)
    counts = counts[counts > 0]
    table = analysis.table("robustness")
    other = [] if table is None else select(table, method=PARAFAC)["mean_size"].dropna()
    compared = np.asarray(other, float)
    if not counts.size:
        return {"figure": None, "sentence": "No community has a member."}
    n_empty = int((rows["n_members"] == 0).sum())
    said = (
        f"Communities have {counts.mean():.1f} regions on average,"
        f" {counts.min():.0f} to {counts.max():.0f}"
    )
    if compared.size:
        said += f"; those of PARAFAC {compared.mean():.1f}"
    if n_empty:
        said += f"; {n_empty} of {len(rows)} have none"
    title = f"{model}: size of its communities"
    return {"figure": figures.sizes(counts, compared, title), "sentence": said + "."}


def robustness(analysis: Analysis) -> dict[str, Any] | None:
    """Return how well communities of the first fold are found in the others."""
    table = analysis.table("robustness")
    if table is None:
        return None
    names = [str(name) for name in dict.fromkeys(table["method"].dropna())]
    rows = {name: table[table["method"] == name] for name in names}
    is_known = table["correlation"].notna().any()
    columns = MEASURES if is_known else {"mean_size": MEASURES["mean_size"]}
    panels = {
        title: {_name(k): own[column].to_numpy(float) for k, own in rows.items()}
        for column, title in columns.items()
    }
    return {
        "figure": figures.robustness(panels, "Robustness of communities"),
        "table": _compared(rows),
        "sentence": _verdict(rows)
        if is_known
        else "There is one fold, so that nothing can be compared between folds.",
    }


def _name(method: str) -> str:
    return "PARAFAC" if method == PARAFAC else method


def _compared(rows: dict[str, pd.DataFrame]) -> page.Rows:
    records = []
    for name, own in rows.items():
        known = own["correlation"].notna()
        record = {"method": _name(name), "folds compared": int(known.sum())}
        for column, title in MEASURES.items():
            digits = 1 if column == "mean_size" else 2
            record[title] = page.mean_sd(own[column].dropna(), digits)
        skipped = own["n_skipped"].max() if "n_skipped" in own else np.nan
        record["not compared"] = page.text(None if pd.isna(skipped) else int(skipped))
        records.append(record)
    columns = list(records[0]) if records else ["method"]
    return page.rows(records, columns, numbers=columns[1:])


def _verdict(rows: dict[str, pd.DataFrame]) -> str:
    """Say whose communities are found again better, where both were made."""
    means = {name: own[["correlation", "dice"]].mean() for name, own in rows.items()}
    if PARAFAC not in means or means[PARAFAC].isna().any():
        return "The tensor decomposition (PARAFAC) is not there to compare with."
    other = means.pop(PARAFAC)
    told = []
    for name, own in means.items():
        if own.isna().any():
            told.append(f"{name} has nothing to compare between folds.")
            continue
        more = own > other
        word = "more" if more.all() else "less" if not more.any() else None
        said = (
            f"are {word} alike between folds than those of PARAFAC"
            if word
            else "and those of PARAFAC are each the more alike by one measure"
        )
        told.append(
            f"Communities of {name} {said}: correlation {own['correlation']:.2f}"
            f" against {other['correlation']:.2f}, Dice {own['dice']:.2f} against"
            f" {other['dice']:.2f}."
        )
    return " ".join(told)
