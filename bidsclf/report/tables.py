"""What stands in the folder of an analysis, read once for every page."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.report.page import is_control

NEEDED = ("cohort", "folds", "predictions", "metrics")
OPTIONAL = {  # table -> what the page lacks without it
    "comparisons": "tests between models",
    "permutations": "permutation tests",
    "experiment": "the spread over splits",
    "roc": "the median ROC curve with its bands",
    "calibration": "calibration curves",
    "confounds": "scores against motion, scan length and age",
    "sites": "how well features tell the site",
    "site_map": "maps of the sites",
    "qcfc": "motion in the features (QC-FC)",
}
EXPLAINED = {  # table that some models have -> its columns and those of numbers
    "ablation": ("model fold", "n accuracy sensitivity specificity identity"),
    "embedding": ("model metric", "before after difference low high n"),
    "learning": ("model measure", "repeat fold epoch train valid kept"),
    "regions": ("region network", "x y z"),
    "attributions": ("model method region", "signed absolute sd n_folds"),
    "attribution_time": ("model", "volume absolute sd"),
    "maps": ("model method", "n_people n_folds x y z size signed correlation"),
    "patterns": ("model region_a region_b", "pattern sd"),
    "communities": ("model region", "fold community weight member"),
    "influence": ("model", "fold community influence rank n_members"),
    "overlap": ("model network", "fold community share dice"),
    "robustness": ("method", "fold correlation dice mean_size"),
    "decoding": ("model term", "community correlation rank"),
    "latents": ("model fit participant_id label", "fold"),
    "rsa": ("model fit space trait kind", "n tau p p_holm"),
    "silhouette": ("model fit space trait kind", "n silhouette p p_holm"),
    "mixture": ("model fit space shape", "n_components bic is_best"),
    "plane": ("model fit space participant_id", "pca_1 pca_2 umap_1 umap_2"),
    "source": ("participant_id site", ""),
}
TEXT = ("participant_id", "site", "group", "region", "region_a", "region_b", "network",
        "term", "label", "trait")  # 001 stays 001  # fmt: skip


@dataclass(frozen=True, slots=True)
class Analysis:
    """One finished analysis.

    Attributes
    ----------
    folder : Path
    about : dict
        analysis.json.
    tables : {name: DataFrame}
        Those that stand; the four of ``NEEDED`` always do.
    unreadable : {name: str}
        Of ``EXPLAINED``, those that stand and are not what they should be, and why.
    """

    folder: Path
    about: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def metrics(self) -> pd.DataFrame:
        """metrics.tsv."""
        return self.tables["metrics"]

    @property
    def kept(self) -> pd.DataFrame:
        """The rows of cohort.tsv who were studied."""
        cohort = self.tables["cohort"]
        return cohort[cohort["included"] == "yes"]

    @property
    def labels(self) -> dict[str, str]:
        """The label of 0 and of 1, both keys as text."""
        return dict(self.about["labels"])

    @property
    def n_repeats(self) -> int:
        """How often people were split, all of them each time."""
        return int(self.tables["folds"]["repeat"].nunique())

    @property
    def unit(self) -> str:
        """What one repeat is called."""
        is_bootstrap = self.part("folds").get("scheme") == "bootstrap"
        return "round" if is_bootstrap else "repeat"

    @property
    def tested(self) -> pd.Series:
        """In how many repeats each person was tested, by participant_id."""
        rows = self.tables["predictions"][["participant_id", "repeat"]]
        return rows.drop_duplicates()["participant_id"].value_counts()

    @property
    def times(self) -> str:
        """How often a person was tested: ``2``, or ``1 to 13``."""
        least, most = int(self.tested.min()), int(self.tested.max())
        return str(most) if least == most else f"{least} to {most}"

    @property
    def notes(self) -> list[str]:
        """What the run had to say of its folds, its models and its screening."""
        screened = self.about.get("screening_notes", {})
        told = [f"{name}: {note}" for name, found in screened.items() for note in found]
        about = self.about
        return [*about.get("fold_notes", []), *about.get("run_notes", []), *told]

    def part(self, name: str) -> dict[str, Any]:
        """Return one part of the settings; empty in an analysis older than it."""
        return dict(self.about["settings"].get(name, {}))

    def table(self, name: str) -> pd.DataFrame | None:
        """Return a table, or None where it does not stand or is empty."""
        table = self.tables.get(name)
        return None if table is None or table.empty else table


def read_analysis(folder: Path) -> Analysis:
    """Read analysis.json and every table there is.

    What explains models is told of, not needed: a damaged table of that kind is
    kept in ``unreadable``.

    Raises
    ------
    InputError
        analysis.json or one of the tables in ``NEEDED`` is absent or unreadable.
    """
    names = [
        *NEEDED,
        *(name for name in OPTIONAL if (folder / f"{name}.tsv").exists()),
    ]
    tables = {
        name: store.read_table(folder / f"{name}.tsv", text=TEXT) for name in names
    }
    unreadable = {}
    for name in EXPLAINED:
        if (folder / f"{name}.tsv").exists():
            try:
                tables[name] = _explaining(folder, name)
            except InputError as error:
                unreadable[name] = str(error)
    about = store.read_json(folder / "analysis.json")
    return Analysis(folder, about, tables, unreadable)


def _explaining(folder: Path, name: str) -> pd.DataFrame:
    """Read a table of ``EXPLAINED``; what is no number there is missing."""
    words, numbers = (part.split() for part in EXPLAINED[name])
    table = store.read_table(folder / f"{name}.tsv", text=TEXT)
    gone = [column for column in [*words, *numbers] if column not in table]
    if gone:
        raise InputError(
            f"{name}.tsv has no column {', '.join(gone)}. Run the analysis again."
        )
    for column in numbers:
        values = pd.to_numeric(table[column], errors="coerce").astype(float)
        table[column] = values.where(np.isfinite(values))
    return table


def networks(notes: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what each network of a fit noted; a fit without members is one itself.

    Examples
    --------
    >>> networks({"members": [{"epoch": 3}, {"epoch": 5}]})
    [{'epoch': 3}, {'epoch': 5}]
    >>> networks({"epoch": 4})
    [{'epoch': 4}]
    """
    return list(notes.get("members") or [notes])


def select(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """Return the rows with these values; a column that is not there asks nothing.

    Examples
    --------
    >>> table = pd.DataFrame({"scope": ["site", "pooled"], "n": [1, 2]})
    >>> select(table, scope="site", test="delong")["n"].tolist()
    [1]
    """
    for column, value in wanted.items():
        if column in table:
            table = table[table[column] == value]
    return table


def pooled(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the pooled rows of one metric, one a model, in the order of the table."""
    rows = select(metrics, scope="pooled", metric=metric)
    return rows.drop_duplicates("model").set_index("model")


def best_model(metrics: pd.DataFrame) -> str | None:
    """Return the model of the brain with the largest pooled AUC, if there is one."""
    auc = pooled(metrics, "auc").dropna(subset="estimate")
    models = auc[[not is_control(model) for model in auc.index]]
    return None if models.empty else str(models["estimate"].idxmax())


def split_values(metrics: pd.DataFrame, metric: str) -> dict[str, list[float]]:
    """Return a metric of every fold, model by model, in the order of the table."""
    rows = select(metrics, scope="fold", metric=metric)
    return {
        str(model): rows.loc[rows["model"] == model, "estimate"].tolist()
        for model in pooled(metrics, "auc").index
    }
