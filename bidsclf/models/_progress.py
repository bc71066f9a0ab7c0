"""How training goes, on a terminal; a log is told nothing."""

import multiprocessing
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bidsclf.models._loop import Watch

CLEAR = "\r\x1b[K"  # to the start of the line, which is emptied


@contextmanager
def shown(name: str) -> Iterator[Watch | None]:
    """Yield what rewrites one line an epoch, or None where nobody would see it.

    Nothing is shown where standard error is no terminal, and by a worker of
    several, whose lines would overwrite each other's.
    """
    if not sys.stderr.isatty() or multiprocessing.parent_process() is not None:
        yield None
        return

    def watch(n_epochs: int, entry: dict[str, Any]) -> None:
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(CLEAR + _line(name, n_epochs, entry)[:width])
        sys.stderr.flush()

    try:
        yield watch
    finally:
        sys.stderr.write(CLEAR)
        sys.stderr.flush()


def _line(name: str, n_epochs: int, entry: dict[str, Any]) -> str:
    told = [
        f"{part} {measure} {value:.3f}"
        for part in ("train", "valid")
        for measure, value in entry.get(part, {}).items()
        if value is not None
    ]
    return f"{name}: epoch {entry['epoch']} of {n_epochs}: {', '.join(told)}"
