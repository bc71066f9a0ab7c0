"""What stands in the folder of an analysis, read once for every page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

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
TEXT = ("participant_id", "site", "group")  # 001 stays 001


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
    """

    folder: Path
    about: dict[str, Any]
    tables: dict[str, pd.DataFrame]

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
    return Analysis(folder, store.read_json(folder / "analysis.json"), tables)


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
