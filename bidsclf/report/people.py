"""Sections on the people: who was studied, and how each group of them fares."""

from typing import Any

import pandas as pd

from bidsclf.errors import InputError
from bidsclf.files.people import phenotype
from bidsclf.report import figures, page
from bidsclf.report.tables import Analysis, best_model, select

SUBGROUPS = ("sex", "age band")


def cohort(analysis: Analysis) -> page.Rows:
    """Return people, ages and sexes of each site, group by group."""
    records, kept = [], analysis.kept
    for site, people in [*kept.groupby("site"), ("all", kept)]:
        record: dict[str, Any] = {"site": site, "people": len(people)}
        groups = {
            name: people[people["y"].astype(float) == float(code)]
            for code, name in analysis.labels.items()
        }
        record |= {name: len(group) for name, group in groups.items()}
        for name, group in groups.items():
            record |= {f"{k}, {name}": v for k, v in traits(group).items()}
        records.append(record)
    columns = list(records[0])
    return page.rows(records, columns, numbers=columns[1:])


def traits(people: pd.DataFrame) -> dict[str, str]:
    """Return mean age and the count of each sex, of what the study knows."""
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


def excluded(analysis: Analysis) -> page.Rows:
    """Return each reason for leaving people out, with the people."""
    table = analysis.tables["cohort"]
    left_out = table.loc[table["included"] != "yes", ["participant_id", "reason"]]
    reasons = left_out.groupby("reason")["participant_id"].agg(
        people=lambda ids: ", ".join(ids), n="size"
    )
    records = reasons.reset_index().to_dict("records")
    return page.rows(records, ["reason", "n", "people"], numbers=("n",))


def sites(analysis: Analysis) -> tuple[page.Rows, str | None]:
    """Return the AUC at each site of every model, and the best model's picture."""
    return _by_group(analysis.metrics, "site"), _site_forest(analysis.metrics)


def subgroups(analysis: Analysis) -> list[page.Rows]:
    """Return the AUC by sex and by age band, where the study knows them."""
    made = [_by_group(analysis.metrics, scope) for scope in SUBGROUPS]
    return [table for table in made if table.rows]


def _by_group(metrics: pd.DataFrame, scope: str) -> page.Rows:
    rows = select(metrics, scope=scope, metric="auc")
    rows = rows.drop_duplicates(["model", "group"])
    records = []
    for group, found in rows.groupby("group", sort=scope != "age band"):
        record = {scope: group, "people": int(found["n"].iloc[0])}
        for row in found.to_dict("records"):
            record[row["model"]] = page.interval(
                row["estimate"], row["low"], row["high"]
            )
        records.append(record)
    models = list(dict.fromkeys(rows["model"]))
    return page.rows(records, [scope, "people", *models], numbers=["people", *models])


def _site_forest(metrics: pd.DataFrame) -> str | None:
    best = best_model(metrics)
    if best is None:
        return None
    rows = select(metrics, scope="site", metric="auc", model=best)
    rows = rows.dropna(subset="estimate").drop_duplicates("group")
    rows = rows.sort_values("estimate", ascending=False)
    lines = [
        (f"{row['group']} ({row['n']:.0f})", row["estimate"], row["low"], row["high"])
        for row in rows.to_dict("records")
    ]
    title = f"AUC of {best} at each site (people)"
    return figures.forest(lines, title) if lines else None
