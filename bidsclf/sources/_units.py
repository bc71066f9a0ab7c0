"""One unit of a conversion: done once, failing alone, written in the log."""

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from bidsclf.errors import InputError
from bidsclf.files import derivatives, status, store

LOG = logging.getLogger("bidsclf")
SOME_FAILED = 4
QUOTED = 5  # reasons in the terminal


def write_unit(
    out: Path, unit: str, key: str, read: Callable[[], derivatives.ScanOutput]
) -> str:
    """Write one scan's features, unless they are there; return the problem.

    Parameters
    ----------
    out : Path
    unit : str
    key : str
        ``status.unit_key`` of the settings and the files read.
    read : callable
        Returns the scan; an InputError it raises is the unit's own.
    """
    return run_unit(out, unit, key, lambda: derivatives.write_features(out, read()))


def run_unit(
    out: Path, unit: str, key: str, write: Callable[[], Iterable[Path]]
) -> str:
    """Do one unit of work, unless it is done; return the problem.

    Parameters
    ----------
    out : Path
    unit : str
    key : str
        ``status.unit_key`` of the settings and the files read.
    write : callable
        Returns the files it wrote; an InputError it raises is the unit's own.
    """
    if status.is_done(out, unit, key):
        return ""
    started = time.monotonic()
    names: tuple[str, ...] = ()
    problem = ""
    try:
        with threadpool_limits(1):
            names = tuple(str(path.relative_to(out)) for path in write())
    except InputError as error:
        problem = str(error)
        _forget(out, unit)
    ended = status.UnitStatus(
        unit=unit,
        state="failed" if problem else "done",
        key=key,
        message=problem,
        outputs=names,
        seconds=time.monotonic() - started,
    )
    status.write_status(out, ended)
    return problem


def _forget(out: Path, unit: str) -> None:
    """Remove what an earlier, readable version of the file had given."""
    before = status.read_status(out, unit)
    for name in before.outputs if before else ():
        (out / name).unlink(missing_ok=True)


def report(path: Path, log: pd.DataFrame, *, title: str, noun: str = "people") -> int:
    """Write who was done, left out or failed and why; return the exit code.

    Parameters
    ----------
    path : Path
        Table of the log.
    log : DataFrame
        participant_id, state ('done', 'left out' or 'failed') and reason, and
        what else names a row.
    title, noun : str
        What was converted, and what a row is.
    """
    log = log.assign(reason=log["reason"].replace("", None))
    store.write_table(path, log.sort_values(list(log.columns.drop("reason"))))
    counts = log["state"].value_counts()
    LOG.warning(
        "%s: %d %s done, %d left out, %d failed. Each with its reason: %s",
        title,
        counts.get("done", 0),
        noun,
        *(counts.get(state, 0) for state in ("left out", "failed")),
        path,
    )
    reasons = log["reason"][log["state"] == "failed"]
    for reason in reasons[:QUOTED]:
        LOG.error("%s", reason)
    if len(reasons) > QUOTED:
        LOG.error("… and %d more, in the table above", len(reasons) - QUOTED)
    return SOME_FAILED if counts.get("failed", 0) else 0
