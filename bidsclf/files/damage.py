"""Which scans hold a file that cannot be read; of tables, found at a glance."""

from collections.abc import Collection, Sequence
from pathlib import Path

from bidsclf.errors import InputError
from bidsclf.files.images import AXES, why_damaged
from bidsclf.files.inputs import LOADERS, Scan, matrices, read, read_numbers

NUMBER = b"0123456789.eE+-na/\t\r\n"  # every byte of a whole table's body


def damaged(
    scans: Sequence[Scan], inputs: Collection[str] = ("volume",)
) -> dict[int, str]:
    """Return what is wrong with the first bad file of each scan that has one.

    Parameters
    ----------
    scans : sequence of Scan
        Their series, matrices and images are looked at; an absent one is no damage.
    inputs : collection of str
        What is taken of them. Images are read whole where they are, and else
        judged by their headers.

    Returns
    -------
    reasons : dict
        Place in ``scans`` -> the file's name and what was found. In a table, a
        number that is another number is not found here.
    """
    found: dict[int, str] = {}
    known: dict[Path, str | None] = {}  # several scans may share a map
    for at, scan in enumerate(scans):
        kinds = [kind for kind in scan if kind in LOADERS] or list(matrices(scan))[:1]
        for kind in kinds:
            if (path := scan[kind]) not in known:
                known[path] = _why(path, kind, is_read=kind in inputs)
            if reason := known[path]:
                found[at] = reason
                break
    return found


def _why(path: Path, kind: str, *, is_read: bool) -> str | None:
    if kind in AXES:
        return why_damaged(path, is_read=is_read, kind=kind)
    return _damage(path)


def _damage(path: Path) -> str | None:
    """Say why a table is refused; a glance first, its numbers only on suspicion."""
    try:
        if _looks_whole(path):
            return None
        values, names = read_numbers(path)
        if not len(values):
            return f"{path.name}: no numbers below the header"
        read(path, names)
    except OSError as error:
        return f"{path.name}: {error.strerror}"
    except InputError as error:
        return str(error).replace(str(path), path.name).partition("; expected")[0]
    return None


def _looks_whole(path: Path) -> bool:
    head, _, body = path.read_bytes().partition(b"\n")
    n_columns = head.count(b"\t") + 1
    n_rows = body.count(b"\n") + (not body.endswith(b"\n"))
    last = body.rstrip(b"\r\n")[-64 * n_columns :].rpartition(b"\n")[2]
    is_square = path.name.endswith("_timeseries.tsv") or n_rows == n_columns
    is_filled = bool(body) and last.count(b"\t") + 1 == n_columns
    return is_square and is_filled and not body.translate(None, NUMBER)
