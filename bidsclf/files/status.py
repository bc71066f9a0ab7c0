"""Which units are done: what makes a run safe to repeat."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from bidsclf.errors import InputError
from bidsclf.files import store

FOLDER = Path(".bidsclf", "status")
LOGS = 20  # the last runs, whose logs are searched for half-written files; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStatus:
    """How a unit of work ended.

    Attributes
    ----------
    unit : str
        ``Scan.name``, or a participant.
    state : {'done', 'failed'}
    key : str
        ``unit_key`` of the settings and the input files.
    message : str
        What went wrong.
    outputs : tuple of str
        Files written, relative to the output's root.
    seconds : float
        Wall time.
    """

    unit: str
    state: str
    key: str = ""
    message: str = ""
    outputs: tuple[str, ...] = ()
    seconds: float = 0.0


def unit_key(settings: Mapping[str, Any], inputs: Iterable[Path]) -> str:
    """Return a hash that changes with a setting or with an input file.

    Parameters
    ----------
    settings : dict
        JSON values.
    inputs : iterable of Path
        Known by name, size and time of change; an absent file counts as absent.
    """
    files: list[tuple[str, int | None, int | None]] = []
    for path in sorted(inputs):
        try:
            state = path.stat()
            files.append((path.name, state.st_size, state.st_mtime_ns))
        except OSError:
            files.append((path.name, None, None))
    text = json.dumps([dict(settings), files], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _place(out: Path, unit: str) -> Path:
    return out / FOLDER / f"{unit}.json"


def write_status(out: Path, status: UnitStatus) -> Path:
    """Write how a unit ended."""
    return store.write_json(_place(out, status.unit), asdict(status))


def read_status(out: Path, unit: str) -> UnitStatus | None:
    """Read how a unit ended; None if it never did, or the note is unreadable."""
    path = _place(out, unit)
    try:
        values = store.read_json(path)
        return UnitStatus(**values | {"outputs": tuple(values["outputs"])})
    except (InputError, TypeError, KeyError):
        return None


def read_all(out: Path, participant: str = "*") -> list[UnitStatus]:
    """Read how every unit ended, or those of ``sub-01`` alone, sorted by unit."""
    pattern = "*.json" if participant == "*" else f"{participant}_*.json"
    names = sorted(path.stem for path in (out / FOLDER).glob(pattern))
    found = (read_status(out, name) for name in names)
    return [status for status in found if status is not None]


def is_done(out: Path, unit: str, key: str) -> bool:
    """Tell whether a unit was done with this key and all its files are there."""
    status = read_status(out, unit)
    if status is None or status.state != "done" or status.key != key:
        return False
    return all((out / name).exists() for name in status.outputs)


def remove_partials(
    out: Path, below: Iterable[str] | None = None, *, hours: float = 24.0
) -> int:
    """Remove half-written files whose writer is dead; return how many.

    A writer on this machine is asked; one elsewhere counts as dead when its
    file has not changed for ``hours``. Live jobs are left alone.

    Parameters
    ----------
    out : Path
    below : iterable of str, or None
        Folders of ``out`` that are searched, besides what all jobs share; None
        searches everything, which a job of an array of thousands must not.
    hours : float
    """
    now, removed = time.time(), 0
    for folder, names in _folders(out, below):
        for name in names:
            path = Path(folder, name)
            if name.startswith(store.PARTIAL) and _is_stale(path, now - 3600 * hours):
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _folders(
    out: Path, below: Iterable[str] | None
) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield folders and the names in them."""
    if below is None:
        yield from ((folder, names) for folder, _, names in os.walk(out))
        return
    yield from ((folder, names) for folder, _, names in islice(os.walk(out), 1))
    logs = sorted(out.glob("logs/*"))[-LOGS:]  # named by their time
    for top in (out / ".bidsclf", *logs, *(out / name for name in below)):
        yield from ((folder, names) for folder, _, names in os.walk(top))


def _is_stale(path: Path, before: float) -> bool:
    """Tell whether nobody writes this partial file any more."""
    writer = path.name.removeprefix(store.PARTIAL).rpartition("-")[0]
    place, _, process = writer.rpartition("-")
    try:
        if place != store.owner().rpartition("-")[0]:
            return path.stat().st_mtime < before
        os.kill(int(process), 0)
    except (ProcessLookupError, FileNotFoundError):
        return True
    except (PermissionError, ValueError):
        return path.exists() and path.stat().st_mtime < before
    return False
