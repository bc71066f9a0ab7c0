"""What every level shares: units that fail alone, the run's folder, the exit code."""

import errno
import logging
import os
import platform
import re
import shlex
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tomli_w

from bidsclf import __version__
from bidsclf.config import Config, RunConfig, to_plain
from bidsclf.errors import BidsclfError, Terminated
from bidsclf.files import store
from bidsclf.workflows._citation import citation

LOG = logging.getLogger("bidsclf")
ARMED, STOPPED = "stops-at-first", "stopped"  # marks in the folder of notes
NOT_RUN = "it was not run, since another unit failed."
NO_NOTE = "the work folder cannot be written to"
KILLED = "the worker was killed"  # by the system, for its memory, or by hand
FULL = (errno.ENOSPC, errno.EDQUOT)  # the disk, or what one may use of it
MENDABLE = (NO_NOTE, KILLED, *map(os.strerror, FULL))
RAISED = re.compile(r"\s?[\w.]*(Error|Exception|Interrupt|Exit|Warning)\b")
PACKAGES = (
    "nipype", "pybids", "nilearn", "nibabel", "numpy", "scipy", "pandas",
    "scikit-learn", "torch", "neuroHarmonize",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One line of summary.json.

    Attributes
    ----------
    unit : str
    state : {'done', 'done before', 'failed'}
    seconds : float
    message : str
        What went wrong.
    outputs : tuple of str
        Files written.
    is_report, is_bug : bool
        A page, not a result; an error that the user cannot mend.
    """

    unit: str
    state: str = "done"
    seconds: float = 0.0
    message: str = ""
    outputs: tuple[str, ...] = ()
    is_report: bool = False
    is_bug: bool = False


def exit_code(units: Iterable[Unit]) -> int:
    """Return 1 for a bug, 4 for a failed unit, 5 for a failed report, else 0.

    Examples
    --------
    >>> done, page = Unit(unit="a"), Unit(unit="b", state="failed", is_report=True)
    >>> exit_code([done]), exit_code([done, page])
    (0, 5)
    """
    failed = [unit for unit in units if unit.state == "failed"]
    if any(unit.is_bug and not unit.is_report for unit in failed):
        return 1
    if any(not unit.is_report for unit in failed):
        return 4
    return 5 if failed else 0


def attempt(name: str, notes: Path, work: Callable[[], Sequence[Path]]) -> Unit:
    """Do a unit's work and leave word of it in ``notes``.

    What the user can mend, and what the system refuses, fails the unit and
    stops here; a bug goes on to nipype, which writes the crash file. With
    ``--stop-on-first-crash`` nothing is done once another unit failed.

    Parameters
    ----------
    name : str
    notes : Path
        Folder of this run's notes, in the work folder.
    work : callable
        Returns the files that it wrote.
    """
    if (notes / STOPPED).exists():
        return Unit(unit=name, state="failed", message=NOT_RUN)
    start = time.perf_counter()
    try:
        outputs, message, state = tuple(map(str, work())), "", "done"
    except (BidsclfError, OSError) as error:
        outputs, message, state = (), str(error), "failed"
    seconds = round(time.perf_counter() - start, 3)
    unit = Unit(
        unit=name, state=state, seconds=seconds, message=message, outputs=outputs
    )
    try:
        if state == "failed" and (notes / ARMED).exists():
            (notes / STOPPED).touch()
        store.write_json(notes / f"{name}.json", asdict(unit))
    except (BidsclfError, OSError) as error:
        raise BidsclfError(f"{NO_NOTE} (-w): {error}") from error
    return unit


def open_notes(notes: Path, settings: RunConfig) -> None:
    """Make the folder where this run's units leave word, and forget earlier stops."""
    notes.mkdir(parents=True, exist_ok=True)
    (notes / STOPPED).unlink(missing_ok=True)
    (notes / ARMED).unlink(missing_ok=True)
    if settings.stop_on_first_crash:
        (notes / ARMED).touch()


def node_name(unit: str) -> str:
    """Return the name of a unit's node; nipype takes fewer letters than BIDS.

    Examples
    --------
    >>> node_name("sub-01_task-rest+eyes")
    'sub-01_task-rest-plus-eyes'
    """
    return unit.replace("+", "-plus-")


def collect(
    names: Iterable[str], notes: Path, crashes: Path, *, is_report: bool = False
) -> list[Unit]:
    """Read back how units ended; one that left no word crashed, or never ran."""
    units = []
    for name in names:
        place = notes / f"{name}.json"
        if place.exists():
            values = store.read_json(place) | {"is_report": is_report}
            units.append(Unit(**values | {"outputs": tuple(values["outputs"])}))
        else:
            units.append(_crashed(name, crashes, is_report=is_report))
    return units


def _crashed(name: str, crashes: Path, *, is_report: bool) -> Unit:
    files = sorted(crashes.glob(f"crash-*-{node_name(name)}-*.txt"))
    if not files:
        message, is_bug = NOT_RUN, False
    else:
        text = files[-1].read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if RAISED.match(line)]
        is_bug = not any(words in text for words in MENDABLE)
        last = lines[-1] if lines else "no traceback"
        hint = " This is a bug: please report it with that file." if is_bug else ""
        last = RAISED.sub("", last, count=1).removeprefix(": ") if not is_bug else last
        message = f"{last.removesuffix('.')} (see {files[-1].name}).{hint}"
    return Unit(
        unit=name, state="failed", message=message, is_report=is_report, is_bug=is_bug
    )


@dataclass(slots=True, kw_only=True)
class Run:
    """A run's identity and what it has done so far."""

    config: Config
    command: str
    folder: Path
    started: datetime
    units: list[Unit] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, units: Iterable[Unit]) -> None:
        """Note units that ended, and say which failed."""
        for unit in units:
            self.units.append(unit)
            if unit.state == "failed":
                LOG.error("%s: %s", unit.unit, unit.message)
            else:
                LOG.debug("%s: %s", unit.unit, unit.state)

    @property
    def code(self) -> int:
        """The exit code."""
        return exit_code(self.units)

    def write_summary(self, code: int, error: str = "") -> None:
        """Write summary.json, a line per unit."""
        finished = now()
        lines = [asdict(unit) for unit in self.units]
        for line in lines:
            line["outputs"] = list(line["outputs"])
        summary = {
            "run": self.folder.name,
            "level": self.config.level,
            "command": self.command,
            "started": self.started.isoformat(),
            "finished": finished.isoformat(),
            "seconds": round((finished - self.started).total_seconds(), 3),
            "exit_code": code,
            "error": error,
            "versions": versions(),
            "notes": self.notes,
            "units": lines,
        }
        store.write_json(self.folder / "summary.json", summary)


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


@contextmanager
def recorded(config: Config, command: str | None) -> Iterator[Run]:
    """Open ``OUT/logs/<run id>`` with the settings; close it with the summary.

    Yields
    ------
    Run
        Its summary is written however the block ends.
    """
    started = now()
    name = f"{started:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
    folder = config.output_dir / "logs" / name
    command = command if command is not None else shlex.join(sys.argv)
    run = Run(config=config, command=command, folder=folder, started=started)
    store.write_text(folder / "bidsclf.toml", tomli_w.dumps(to_plain(config)))
    text = citation(config.level, config.harmonize.method)
    store.write_text(folder / "CITATION.md", text)
    try:
        yield run
    except BidsclfError as error:
        run.write_summary(error.exit_code, str(error))
        raise
    except KeyboardInterrupt as error:
        is_term = isinstance(error, Terminated)
        run.write_summary(143 if is_term else 130, "it was interrupted.")
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            run.write_summary(BidsclfError.exit_code, str(error))
            raise BidsclfError(f"{error}. Free space, then run it again.") from error
        text = traceback.format_exc()
        store.write_text(folder / f"crash-{name}-{config.level}.txt", text)
        run.write_summary(1, repr(error))
        raise
    run.write_summary(run.code)


def versions() -> dict[str, str]:
    """Return the versions of what the numbers rest on."""
    found = {"bidsclf": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def show(lines: Iterable[str]) -> None:
    """Write the answer of ``--dry-run`` to standard output."""
    sys.stdout.writelines(f"{line}\n" for line in lines)
