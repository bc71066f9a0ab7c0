"""Folders that a user may not read."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def open_folder():
    """Return a folder that every user may enter, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path, below, _ in os.walk(folder):
        for name in below:
            Path(path, name).chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def as_nobody():
    """Return a block in which root, who may read everything, is another user."""

    @contextmanager
    def block():
        if os.geteuid():
            yield
            return
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    return block
