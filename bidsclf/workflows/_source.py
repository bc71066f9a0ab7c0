"""People outside the study (``--source``), from whom some models learn first."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.cohort import Cohort, source_of
from bidsclf.config import CohortConfig, Config
from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.files.people import ID
from bidsclf.models._base import find, prepare_key, prepared
from bidsclf.models._rows import load_rows, row_digests, save_rows
from bidsclf.workflows import _persons

DIGESTS = "digests.json"
PART = "source"  # how a bundle marks them among those it learned from


def learners(models: Iterable[str]) -> list[str]:
    """Return the models that can learn from people outside the study."""
    return [model for model in models if find(model).source]


def gather(config: Config, seam: Path, cohort: Cohort) -> Cohort | None:
    """Return the people of ``--source``, None where nobody is asked for."""
    if config.cohort.source is None:
        return None
    inputs = _inputs(config.analysis.models)
    return source_of(seam, config.cohort, cohort, inputs)


def _inputs(models: Iterable[str]) -> list[str]:
    return sorted({find(model).input for model in learners(models)})


def described(source: Cohort, seam: Path, models: Iterable[str]) -> dict[str, Any]:
    """Return, as JSON values, who they are and which prepared rows need theirs."""
    people = source.people
    return {
        "participant_id": people[ID].tolist(),
        "person": _persons.person_digests(seam, people[ID]),
        "rows": source.rows.tolist(),
        "inputs": _inputs(models),
        "keys": sorted({prepare_key(model) for model in learners(models)}),
    }


def table(source: Cohort) -> pd.DataFrame:
    """Return source.tsv: participant_id and site."""
    return source.people[[ID, "site"]]


def notes(config: Config, source: Cohort | None) -> list[str]:
    """Say who taught which models before their training people did."""
    able = learners(config.analysis.models)
    if not able:
        return []
    if source is None:
        return [
            f"{', '.join(able)} can learn first from people outside the study; without"
            " --source all they learned from is the training people."
        ]
    reasons = Counter(source.excluded["reason"])
    left = "; ".join(f"{n} {reason}" for reason, n in sorted(reasons.items()))
    return [
        f"{', '.join(able)} learned first from {len(source.people)} people outside the"
        f" study (--source {config.cohort.source}), whom source.tsv names; nobody is"
        f" tested who is among them.{f' Left out: {left}.' if left else ''}",
        *(f"--source: {note}" for note in source.notes),
    ]


def prepare(
    folder: Path,
    seam: Path,
    config: CohortConfig,
    cohort: Cohort,
    known: Mapping[str, Any],
    model: str,
) -> None:
    """Keep the rows of the people of ``--source`` as a model takes them.

    Parameters
    ----------
    folder : Path
        Where the rows of the study are; theirs are beside it.
    seam : Path
    config : CohortConfig
    cohort : Cohort
        Who is studied.
    known : mapping
        What ``described`` returned.
    model : str
        One of the models that take these rows.
    """
    if prepare_key(model) not in known["keys"]:
        return
    taken = known["participant_id"]
    source = source_of(seam, config, cohort, known["inputs"], taken)
    if source.people[ID].tolist() != taken:
        raise InputError(
            f"--source {config.source}: the people it takes changed while the models"
            " were fitted. Run it again."
        )
    loaded = source.load(find(model).input)
    save_rows(beside(folder), prepared(model, loaded))
    store.write_json(beside(folder) / DIGESTS, row_digests(loaded))


def beside(folder: Path) -> Path:
    """Return where the rows of ``--source`` are, by those of the study."""
    return folder.with_name(f"{folder.name}-source")


def rows_of(folder: Path, shared: Mapping[str, Any], model: str) -> Any:
    """Return the rows that a model learns from first; None where there are none."""
    is_taught = "source" in shared and find(model).source
    return load_rows(beside(folder)) if is_taught else None


def training(
    folder: Path, shared: Mapping[str, Any], model: str
) -> list[dict[str, str]]:
    """Return a line a row of whom a model met first, as ``_persons.training``."""
    if "source" not in shared or not find(model).source:
        return []
    digests = store.read_json(beside(folder) / DIGESTS)
    known = shared["source"]
    everyone = np.arange(len(known["participant_id"]))
    lines = _persons.training(known, digests, everyone)
    return [line | {"part": PART} for line in lines]
