"""Settings that name something on disk: paths made absolute, and what is not there."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bidsclf.arguments.table import listed, settings
from bidsclf.dataset import why_not_ours
from bidsclf.options import did_you_mean

MUST_EXIST = (
    "--bids-filter-file", "--nipype-plugin-file", "--derivatives", "--model",
    "--atlas-image", "--networks", "--decoding-data", "-d cat12", "-d vbm",
    "--map-table",
)  # fmt: skip
IMAGES = ("--atlas-image", "--networks")
INPUTS = {  # what is never written to
    "BIDS_DIR": "bids_dir", "-d": "derivatives", "-d cat12": "cat12", "-d vbm": "vbm",
}  # fmt: skip
NAMED = ("--features", "--atlases", "--denoise-strategy")


def put(plain: dict[str, Any], path: str, value: Any) -> None:
    """Set a value of nested settings by its path, such as ``folds.n_folds``."""
    *parts, name = path.split(".")
    for part in parts:
        plain = plain.setdefault(part, {})
        if not isinstance(plain, dict):  # the file has no table there; it is reported
            return
    plain[name] = value


def get(plain: dict[str, Any], path: str) -> Any:
    """Return a value of nested settings by its path, or None."""
    value: Any = plain
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def make_absolute(plain: dict[str, Any]) -> None:
    """Make every path absolute, since nodes work in folders of their own."""
    paths = [path for path, known in settings().values() if "Path" in str(known.type)]
    for path in paths:
        if isinstance(value := get(plain, path), str) and value:
            put(plain, path, str(Path(value).expanduser().absolute()))
    for option in ("--atlases", "--denoise-strategy"):
        path, value = settings()[option][0], get(plain, settings()[option][0])
        if isinstance(value, list):
            put(plain, path, [_located(option, text) for text in value])
        elif isinstance(value, str):
            put(plain, path, _located(option, value))


def _located(option: str, text: Any) -> Any:
    if not isinstance(text, str) or text in listed(option) or not Path(text).exists():
        return text
    return str(Path(text).absolute())


def _missing_files(plain: dict[str, Any]) -> Iterator[str]:
    for option in MUST_EXIST:
        value = get(plain, settings()[option][0])
        if isinstance(value, str) and not Path(value).exists():
            yield f"{option} {value} does not exist."
        elif isinstance(value, str) and option in IMAGES and Path(value).is_dir():
            yield f"{option} {value} is a folder; name a NIfTI file."
    bids_dir = plain.get("bids_dir")
    if isinstance(bids_dir, str) and not Path(bids_dir).is_dir():
        yield f"BIDS_DIR {bids_dir} is not a folder."
    if plain.get("level") == "predict" and not plain.get("model"):
        yield "predict needs --model, the folder of a trained model."


def _unwritable(plain: dict[str, Any]) -> Iterator[str]:
    work = get(plain, "run.work_dir")
    for name, value in (("OUTPUT_DIR", plain.get("output_dir")), ("--work-dir", work)):
        if not isinstance(value, str):
            continue
        nearest = next(p for p in (Path(value), *Path(value).parents) if p.exists())
        if not nearest.is_dir():
            yield f"{name} {value}: {nearest} is a file; name a folder."
        elif not os.access(nearest, os.W_OK):
            yield f"{name} {value}: {nearest} cannot be written to by this user."
    yield from _over_others(plain)


def _resolved(value: Any) -> Path | None:
    return Path(value).resolve() if isinstance(value, str) and value else None


def _over_others(plain: dict[str, Any]) -> Iterator[str]:
    """Keep the output out of the input, and the work folder off both."""
    out, work = map(_resolved, (plain.get("output_dir"), get(plain, "run.work_dir")))
    for title, path in INPUTS.items():
        given = _resolved(plain.get(path))
        if given is None:
            continue
        if out and plain.get("level") == "participant" and out.is_relative_to(given):
            yield _inside("OUTPUT_DIR", out, f"{title} {given}")
        if work and given.is_relative_to(work):
            yield _above(work, f"{title} {given}")
        elif (
            work and work.is_relative_to(given) and not _is_in_output(work, out, given)
        ):
            yield _inside("--work-dir", work, f"{title} {given}")
    if work and out and out.is_relative_to(work):
        yield _above(work, f"OUTPUT_DIR {out}")


def _taken(plain: dict[str, Any]) -> Iterator[str]:
    """Keep the output out of folders that hold what is somebody else's."""
    out = _resolved(plain.get("output_dir"))
    if out is None:
        return
    for title, path in INPUTS.items():
        given = _resolved(plain.get(path))
        if given is not None and out in given.parents:
            yield f"OUTPUT_DIR {out} holds {title} {given}. Name a folder of its own."
    if problem := why_not_ours(out):
        yield f"OUTPUT_DIR {problem}"


def _is_in_output(work: Path, out: Path | None, given: Path) -> bool:
    """Tell whether the work folder is in the input only because the output is.

    A group reads its own output, so that BIDS_DIR may be OUTPUT_DIR.
    """
    return out is not None and out.is_relative_to(given) and work.is_relative_to(out)


def _inside(name: str, folder: Path, place: str) -> str:
    return (
        f"{name} {folder} lies inside {place}, and the input is never written to."
        " Name a folder outside it."
    )


def _above(work: Path, place: str) -> str:
    return (
        f"--work-dir {work} is or holds {place}; intermediate files have a folder of"
        " their own. Name another."
    )


def _unknown_names(plain: dict[str, Any]) -> Iterator[str]:
    if plain.get("level") != "participant":
        return
    for option in NAMED:
        known = listed(option)
        value = get(plain, settings()[option][0])
        for text in value if isinstance(value, list) else filter(None, [value]):
            is_known = text in known or Path(str(text)).is_file()
            if not is_known:
                yield (
                    f"{option}: no {text!r}, neither a name nor a file; there are:"
                    f" {', '.join(known)}.{did_you_mean(str(text), list(known))}"
                )


def disk_problems(plain: dict[str, Any]) -> list[str]:
    """Return what is missing, not writable or inside the input, one a line."""
    checks = (_missing_files, _unwritable, _taken, _unknown_names)
    return [problem for check in checks for problem in check(plain)]
