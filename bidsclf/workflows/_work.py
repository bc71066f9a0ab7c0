"""The work folder: what a run makes there is its own, and all else is the user's."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bidsclf.config import RunConfig


@contextmanager
def work_folder(settings: RunConfig) -> Iterator[Path]:
    """Yield the work folder; one of our own making goes when the work is done.

    The user's own stays, whatever is in it; ``--clean-workdir`` removes it only if
    it was made here and nothing of anyone else's is left in it.
    """
    if settings.work_dir is None:
        with tempfile.TemporaryDirectory(prefix="bidsclf-") as made:
            yield Path(made)
        return
    is_ours = not settings.work_dir.exists()
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    yield settings.work_dir.absolute()
    if settings.clean_workdir and is_ours:
        with suppress(OSError):  # not empty: others work here too
            settings.work_dir.rmdir()


@contextmanager
def own_folder(work: Path, name: str, settings: RunConfig) -> Iterator[Path]:
    """Yield a run's own part of the work folder; ``--clean-workdir`` removes it.

    What ends by an error stays, so that the next run can go on from it.

    Parameters
    ----------
    work : Path
        From ``work_folder``.
    name : str
        Not shared with another run at the same time.
    settings : RunConfig
    """
    yield work / name
    if settings.clean_workdir:
        shutil.rmtree(work / name, ignore_errors=True)
