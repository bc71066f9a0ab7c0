"""The section on the members of one family: which part of a network helps, if any."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.evaluate.ablation import (
    EXACT,
    MEAN,
    MEASURES,
    SD,
    chosen_elsewhere,
    families_of,
    folds_table,
)
from bidsclf.files import store
from bidsclf.options import DATA
from bidsclf.report import figures, page
from bidsclf.report.tables import Analysis, select

PAPERS = DATA / "report" / "ablation.json"
MOST_FOLDS = 20  # in a picture of one model's folds; ours
FEW_FOLDS = 6  # with which two such pictures stand side by side; ours
PERCENT = 100
IDENTITY = (
    "In every fold of each member accuracy is the mean of sensitivity and specificity,"
    f" weighted by the size of the groups (checked to {EXACT:.9f})."
)
IMPLIED = "patients, if all three hold"


def ablation(analysis: Analysis) -> list[dict[str, Any]] | None:
    """Return a section for each family of which two members were fitted, or None."""
    table = analysis.table("ablation")
    if table is None:
        return None
    table = table.dropna(subset=["model", "fold", "accuracy"])
    whole = set(select(table, fold=MEAN)["model"]) & set(
        analysis.tables["predictions"]["model"]
    )
    table = table[table["model"].isin(whole)]
    papers = store.read_json(PAPERS)
    told = [
        _section(analysis, table, family, papers.get(family, {}))
        for family in families_of(table["model"])
    ]
    return told or None


def _section(
    analysis: Analysis, table: pd.DataFrame, family: str, paper: dict[str, Any]
) -> dict[str, Any]:
    members = families_of(table["model"])[family]
    means = select(table, fold=MEAN).set_index("model").loc[list(members)]
    spread = select(table, fold=SD).set_index("model").reindex(list(members))
    panels = _panels(family, members, paper.get("groups", {}))
    headline, sentences = _answer(analysis, table, means, spread)
    folds = dict(_folds(table, means, panels))
    return {
        "family": family,
        "headline": headline,
        "sentences": sentences,
        "figures": _bars(means, spread, panels),
        "folds": folds,
        "is_wide": table["fold"].nunique() - 2 > FEW_FOLDS,
        "table": _ours(means, spread),
        "paper": _beside(analysis, paper) if paper else None,
    }


def _panels(
    family: str, members: tuple[str, ...], groups: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return the pictures to draw: title -> {model: label}."""
    found: dict[str, dict[str, str]] = {}
    for model in members:
        name = model.removeprefix(f"{family}-")
        body, _, last = name.rpartition("-")
        if last in groups:
            title = f"{family} + {groups[last]}"
            found.setdefault(title, {})[model] = body.upper()
        else:
            found.setdefault(family, {})[model] = name
    return found


def _share(value: float, digits: int = 0) -> str:
    return page.MISSING if pd.isna(value) else f"{PERCENT * value:.{digits}f} %"


def _answer(
    analysis: Analysis, table: pd.DataFrame, means: pd.DataFrame, spread: pd.DataFrame
) -> tuple[str, list[str]]:
    """Return which member is best, what that is worth, and beside what, in words."""
    accuracy = means["accuracy"]
    best, mean = str(accuracy.idxmax()), accuracy.max()
    n_tied = int((accuracy > mean - EXACT).sum()) - 1
    n_folds = int((~select(table, model=best)["fold"].isin((MEAN, SD))).sum())
    worth, chosen = chosen_elsewhere(table, list(means.index))
    truth = analysis.tables["predictions"].drop_duplicates("participant_id")["truth"]
    name = f"{best} and {n_tied} that tie" if n_tied else best
    choice = "" if pd.isna(worth) else f" allowing for the choice, {_share(worth)};"
    headline = (
        f"Best of {len(means)}: {name}, right for {_share(mean)};{choice}"
        f" naming everyone “{_larger(analysis, truth)}”,"
        f" {_share(truth.value_counts(normalize=True).max())}."
    )
    said = (
        f"{_share(mean)} is the mean over {n_folds} folds (SD"
        f" {_share(spread.loc[best, 'accuracy'])}; the weakest member has"
        f" {_share(accuracy.min())}). The best was chosen by the very people who test"
        " it, so its figure is optimistic."
    )
    if choice:
        said += (
            " Chosen by the other folds and judged in each fold in turn, the best is"
            f" right for {_share(worth)}; in {_share(chosen[best])} of folds it was"
            f" {best}."
        )
    return headline, [said, IDENTITY]


def _larger(analysis: Analysis, truth: pd.Series) -> str:
    return analysis.labels[str(int(truth.mean() > 0.5))]


def _bars(
    means: pd.DataFrame, spread: pd.DataFrame, panels: dict[str, dict[str, str]]
) -> dict[str, str]:
    """Draw the members beside each other, a picture a panel."""
    return {
        f"ablation-{_slug(title)}": figures.bars(
            list(labels.values()),
            {name: means.loc[list(labels), name].to_numpy(float) for name in MEASURES},
            title,
            spreads={
                name: spread.loc[list(labels), name].to_numpy(float)
                for name in MEASURES
            },
        )
        for title, labels in panels.items()
    }


def _slug(title: str) -> str:
    return title.lower().replace(" + ", "-")


def _folds(
    table: pd.DataFrame, means: pd.DataFrame, panels: dict[str, dict[str, str]]
) -> Iterator[tuple[str, str]]:
    """Draw the folds of the best of each panel."""
    for labels in panels.values():
        best = str(means.loc[list(labels), "accuracy"].idxmax())
        rows = select(table, model=best)
        rows = rows[~rows["fold"].isin((MEAN, SD))]
        if len(rows) <= MOST_FOLDS:
            heights = {name: rows[name].to_numpy(float) for name in MEASURES}
            names = rows["fold"].astype(str).tolist()
            title = f"{best}, fold by fold"
            yield f"ablation-folds-{best}", figures.bars(names, heights, title)


def _ours(means: pd.DataFrame, spread: pd.DataFrame) -> page.Rows:
    records = [
        {"model": model}
        | {
            name: f"{_share(row[name], 1)} ({PERCENT * spread.loc[model, name]:.1f})"
            for name in MEASURES
        }
        for model, row in means.iterrows()
    ]
    return page.rows(records, ["model", *MEASURES], numbers=MEASURES)


def _beside(analysis: Analysis, paper: dict[str, Any]) -> dict[str, Any]:
    """Return the paper's table with ours in it, and what is wrong with the paper's."""
    table = folds_table(analysis.tables["predictions"])
    ours = select(table, fold=MEAN).set_index("model")
    sides = [f"{name}, {side}" for name in MEASURES for side in ("paper", "here")]
    columns, records = ["method, validation", *sides, IMPLIED], []
    for method, validation, *numbers, model in paper["numbers"]:
        record = {columns[0]: f"{method}, {validation}"}
        for name, value in zip(MEASURES, numbers, strict=True):
            record[f"{name}, paper"] = page.MISSING if value is None else f"{value:.2f}"
            here = ours[name].get(model, np.nan) if model else np.nan
            record[f"{name}, here"] = page.text(PERCENT * float(here))
        records.append(record | {IMPLIED: _implied(*numbers)})
    made = page.rows(records, columns, numbers=columns[1:])
    asked = ", ".join(row[-1] for row in paper["numbers"] if row[-1])
    found = {"title": paper["title"], "implied": IMPLIED, "remark": _remark(paper)}
    found["asked"] = asked
    return found | {"table": made}


def _implied(
    accuracy: float, sensitivity: float | None, specificity: float | None
) -> str:
    """Return the percentage of patients with which the three numbers would agree.

    Examples
    --------
    >>> _implied(71.65, 68.0, 73.8), _implied(76.56, 80.16, 90.22)
    ('37', '136')
    """
    if sensitivity is None or specificity is None:
        return page.MISSING
    return f"{PERCENT * (specificity - accuracy) / (specificity - sensitivity):.0f}"


def _remark(paper: dict[str, Any]) -> str:
    """Say what the paper's own numbers would have to be."""
    n, m = paper["people"]
    own = [row for row in paper["numbers"] if row[0].startswith("3D-ResNet")]
    said = "; ".join(
        f"({sensitivity:.2f} + {specificity:.2f}) / 2 ="
        f" {(sensitivity + specificity) / 2:.2f} for {method}, not {accuracy:.2f}"
        for method, _, accuracy, sensitivity, specificity, _ in reversed(own)
    )
    return (
        f"The paper's numbers contradict each other. Of {n} patients and {m} controls,"
        f" accuracy is the mean of sensitivity and specificity: {said}. They are no"
        " target to reach."
    )
