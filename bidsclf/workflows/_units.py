"""One unit, from what is read to files that are all there or not at all."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bidsclf.errors import BidsclfError
from bidsclf.files import status
from bidsclf.workflows import _run, _staging


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Where a unit's files and the words about it go.

    Attributes
    ----------
    unit : str
        Name of its status: the scan or map, its space and ``desc-``.
    key : str
        Hashes of settings, input files and what is asked, joined by dots.
    out, notes : Path
        The output, and this run's notes.
    """

    unit: str
    key: str
    out: Path
    notes: Path


def same_settings(key: str, other: str) -> bool:
    """Tell whether two keys agree in their settings.

    Examples
    --------
    >>> same_settings("a.b.c", "a.x.y"), same_settings("a.b.c", "z.b.c")
    (True, False)
    """
    return key.partition(".")[0] == other.partition(".")[0]


def process(job: Job, write: Callable[[Path], Sequence[Path]]) -> _run.Unit:
    """Compute a unit, publish its files and, last, its status.

    Parameters
    ----------
    job : Job
    write : callable
        Computes all and writes it below the folder that it is given; returns the
        files.
    """
    before = status.read_status(job.out, job.unit)
    unit = _run.attempt(job.unit, job.notes, lambda: _write(job, write, before))
    if unit.state == "failed":
        write_failure(job.out, unit, before)
    return unit


def write_failure(
    out: Path, unit: _run.Unit, before: status.UnitStatus | None = None
) -> None:
    """Keep word of a failed unit for its page, if the disk still takes it."""
    failed = status.UnitStatus(unit=unit.unit, state="failed")
    failed = replace(
        before or failed, state="failed", message=unit.message, seconds=unit.seconds
    )
    try:
        status.write_status(out, failed)
    except (BidsclfError, OSError) as error:
        _run.LOG.warning("%s: no status could be written (%s)", unit.unit, error)


def forget(out: Path, unit: str) -> None:
    """Remove the word of a unit."""
    (out / status.FOLDER / f"{unit}.json").unlink(missing_ok=True)


def _write(
    job: Job,
    write: Callable[[Path], Sequence[Path]],
    before: status.UnitStatus | None,
) -> list[Path]:
    start = time.perf_counter()
    with _staging.staged(job.out) as stage:
        files = write(stage)
        if before is not None:  # no status may vouch for a mixture
            halfway = "it was interrupted while its files were replaced."
            status.write_status(
                job.out, replace(before, state="failed", message=halfway)
            )
        names = _staging.publish(stage, job.out, files)
    outputs = {name.as_posix() for name in names}
    if before is not None:
        outputs |= _settle(job, set(before.outputs) - outputs, before.key)
    done = status.UnitStatus(
        unit=job.unit,
        state="done",
        key=job.key,
        outputs=tuple(sorted(outputs)),
        seconds=round(time.perf_counter() - start, 3),
    )
    status.write_status(job.out, done)
    return names


def _settle(job: Job, others: set[str], key: str) -> set[str]:
    """Keep an earlier run's other files, or remove them if made otherwise."""
    if job.key.rpartition(".")[0] == key.rpartition(".")[0]:
        return {name for name in others if (job.out / name).exists()}
    for name in others:
        (job.out / name).unlink(missing_ok=True)
    return set()
