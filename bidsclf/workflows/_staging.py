"""All files of a unit appear together, or none does."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

STAGING = Path(".bidsclf", "staging")
LOCK = "lock"


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield a folder on the output's disk that goes when the block ends.

    The folder is locked while its writer lives, so that ``sweep`` of another job,
    on this machine or another, tells it from one that a killed job left.
    """
    (out / STAGING).mkdir(parents=True, exist_ok=True)
    folder, lock = _locked(out / STAGING)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked(parent: Path) -> tuple[Path, int]:
    """Make a folder and lock it; once more if a sweep came in between."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=parent))
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # a disk without locks: nobody sweeps there either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / LOCK).exists():
            return folder, lock
        os.close(lock)


def sweep(out: Path) -> int:
    """Remove the folders that killed jobs left; return how many."""
    removed = 0
    for folder in sorted((out / STAGING).glob("*")):
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
        except OSError:  # it went meanwhile
            continue
        with suppress(OSError):  # its writer lives
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
        os.close(lock)
    return removed


def publish(stage: Path, out: Path, files: Sequence[Path]) -> list[Path]:
    """Move files from the stage into the output, each by one rename.

    Parameters
    ----------
    stage, out : Path
        Roots on one disk.
    files : sequence of Path
        Below ``stage``.

    Returns
    -------
    list of Path
        Relative to ``out``. If one cannot be moved, those that were moved to
        where nothing stood before are taken back, and the error goes on.
    """
    moved: list[Path] = []
    names = [path.relative_to(stage) for path in files]
    try:
        for name in names:
            is_new = not (out / name).exists()
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).replace(out / name)
            moved += [out / name] if is_new else []
    except OSError:
        for path in moved:
            path.unlink(missing_ok=True)
        raise
    return names
