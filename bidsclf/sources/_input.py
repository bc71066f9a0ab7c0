"""What every conversion asks of what it reads: apart from OUT, and tables of text."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bidsclf.errors import ConfigError, InputError


def check_apart(folder: Path, out: Path) -> None:
    """Refuse an output within the input, which is never written to."""
    if out == folder or folder in out.parents:
        raise ConfigError(f"{out} lies inside {folder}; an input is never written to.")


def read_words(path: Path, missing: Sequence[str]) -> pd.DataFrame:
    """Read a table with a header line as text: tabs part a .tsv, commas others.

    Parameters
    ----------
    path : Path
    missing : sequence of str
        Cells that say nothing.

    Raises
    ------
    InputError
        It cannot be read, or is not UTF-8.
    """
    try:
        return pd.read_csv(
            path,
            sep="\t" if path.suffix == ".tsv" else ",",
            dtype=str,
            na_values=list(missing),
            keep_default_na=False,
            encoding="utf-8-sig",
            skipinitialspace=True,
        )
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8. Save the table again as UTF-8."
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable table ({error}). It has a header line, and columns"
            " parted by commas (.csv) or tabs (.tsv)."
        ) from error
