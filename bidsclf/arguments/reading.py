"""A namespace of text, and a TOML file, to settings; all that is wrong at once."""

import argparse
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bidsclf.arguments.disk import disk_problems, get, make_absolute, put
from bidsclf.arguments.table import every, settings
from bidsclf.config import LEVELS, MAPS, Config, from_plain
from bidsclf.config.analysis import ALL, OWN
from bidsclf.errors import ConfigError
from bidsclf.options import did_you_mean, load

PREFIXES = {  # labels are taken with or without the key of their entity
    "--participant-label": "sub-", "--session-label": "ses-",
    "--task-id": "task-", "--run-id": "run-",
}  # fmt: skip
MOVED = {  # what an extraction setting means where extracted files are read
    "extract.atlases": "cohort.atlas",
    "extract.denoise.strategy": "cohort.desc",
    "extract.volume.size": "cohort.volume_size",
    "selection.space": "cohort.space",
    "selection.participant_label": "cohort.participant_label",
    "selection.session_label": "cohort.session_label",
    "selection.task_id": "cohort.task_id",
    "selection.run_id": "cohort.run_id",
}
GIGABYTES = {"K": 1e-6, "M": 1e-3, "G": 1.0, "T": 1e3}


class _Problems(list[str]):
    """What is wrong so far."""

    def collect(self, step: Callable[..., Any], *given: Any) -> Any:
        """Return what a step returns, or None and keep what it says is wrong."""
        try:
            return step(*given)
        except ConfigError as error:
            self.extend(line for line in str(error).splitlines() if line not in self)
            return None


def _read_toml(path: str | None) -> dict[str, Any]:
    if not path:
        raise ConfigError("--config-file takes a value: TOML.")
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config-file {path}: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"--config-file {path} is not TOML: {error}.") from error


def _labels(option: str, texts: list[str]) -> list[str]:
    words = [word for text in texts for word in str(text).split()]
    return [word.removeprefix(PREFIXES[option]) for word in words]


def _gigabytes(text: str) -> float:
    """Return fMRIPrep's spelling of memory in GB; a bare number is MB."""
    match = re.fullmatch(r"([0-9.]+)\s*([KMGT]?)B?", str(text).strip(), re.IGNORECASE)
    if not match or match[1].count(".") > 1 or match[1] == ".":
        raise ConfigError(f"--mem is {text!r}; it takes a size such as 8G or 8000M.")
    gigabytes = float(match[1]) * GIGABYTES[match[2].upper() or "M"]
    if gigabytes < 0.1:
        raise ConfigError(
            f"--mem {text} is {gigabytes:g} GB, too little to start; did you mean"
            f" {match[1]}G?"
        )
    return gigabytes


def _length(text: str) -> int:
    """Return how many volumes are asked for, 0 for ``all``."""
    if text == "all":
        return 0
    if not re.fullmatch(r"[0-9]+", text) or int(text) < 1:
        raise ConfigError(f"--volume-length is {text!r}; it takes 1 or more, or all.")
    return int(text)


def _value(option: str, given: Any) -> Any:
    """Return the plain value of an option's text."""
    if given is None or given == []:
        raise ConfigError(f"{option} takes a value.")
    if option in PREFIXES:
        return _labels(option, given)
    if option == "--dummy-scans" and given == "auto":
        return None
    if option == "--volume-length":
        return _length(given)
    if option == "--mem":
        return _gigabytes(given)
    return given


def _derivatives(words: list[str]) -> dict[str, str]:
    """Return the path of each setting that ``-d`` names; fMRIPrep needs no name.

    Examples
    --------
    >>> _derivatives(["/prep", "cat12=/maps"])
    {'derivatives': '/prep', 'cat12': '/maps'}
    """
    if not words:
        raise ConfigError("--derivatives takes a value.")
    found: dict[str, str] = {}
    for word in words:
        match = re.match(r"([A-Za-z0-9]+)=", word)
        name = match[1].lower() if match else "fmriprep"
        if name not in ("fmriprep", *MAPS):
            known = ["fmriprep", *MAPS]
            raise ConfigError(
                f"--derivatives {word}: no name {name!r}; there are:"
                f" {', '.join(known)}.{did_you_mean(name, known)}"
            )
        place = "derivatives" if name == "fmriprep" else name
        if place in found:
            raise ConfigError(
                f"--derivatives names {name} twice: {' '.join(words)}. Give one folder;"
                " BIDS_DIR OUTPUT_DIR and the level stand before it."
            )
        found[place] = word[match.end() :] if match else word
    return found


def _stem(text: str) -> str:
    """Return a name, or a file's name without its suffixes, as an entity value."""
    name = Path(text).name.partition(".")[0] if Path(text).suffix else text
    return re.sub(r"[^0-9A-Za-z]", "", name)


def _moved(path: str, value: Any) -> Any:
    """Return what an extraction setting says about the files to read."""
    if path == "extract.atlases":
        if len(value) != 1:
            raise ConfigError(
                f"--atlases names {len(value)}: {' '.join(value)}; a group analysis"
                " reads exactly one."
            )
        return _stem(value[0])
    if path == "extract.volume.size":
        if str(value).lower() != OWN and not str(value).lstrip("-").isdigit():
            raise ConfigError(
                f"--volume-size is {value!r}; it takes a whole number, or {OWN} (in a"
                " settings file, 0)."
            )
        return 0 if str(value).lower() == OWN else value
    return _stem(value) if path == "extract.denoise.strategy" else value


def _asked(namespace: argparse.Namespace, plain: dict[str, Any]) -> Iterator[str]:
    """Lay the command line over the settings of the file; yield what is wrong."""
    given, where = vars(namespace), settings()
    level = given.get("level", plain.get("level"))
    for option in every():
        path = where[option.name][0]
        if path not in given:
            continue
        try:
            if level in LEVELS and level not in option.levels:
                raise ConfigError(
                    f"{option.name} acts at {' and '.join(option.levels)},"
                    f" and this is {level}; drop it."
                )
            if option.name == "--derivatives":
                plain |= _derivatives(given[path] or [])
                continue
            value = _value(option.name, given[path])
            if level in ("group", "predict") and path in MOVED:
                value, path = _moved(path, value), MOVED[path]
            put(plain, path, value)
        except ConfigError as error:
            yield str(error)


def _unknown(words: list[str]) -> Iterator[str]:
    flags = [flag for option in every() for flag in option.flags]
    dashed = [word for word in words if re.match(r"-+[A-Za-z]", word)]
    for word in dashed:
        name = word.partition("=")[0]
        yield f"no option {name}.{did_you_mean(name, flags)} --help lists them all."
    if words and not dashed:
        yield f"too many words: {' '.join(words)}. Options come with a dash."


def _positionals(namespace: argparse.Namespace, plain: dict[str, Any]) -> Iterator[str]:
    for name in ("bids_dir", "output_dir", "level"):
        if name in namespace:
            plain[name] = getattr(namespace, name)
    missing = [n for n in ("bids_dir", "output_dir", "level") if not plain.get(n)]
    if missing and not namespace.unknown:
        yield (
            f"{', '.join(missing)} missing; the first three words are"
            f" BIDS_DIR OUTPUT_DIR and one of {', '.join(LEVELS)}."
        )


def unknown_models(models: tuple[str, ...]) -> list[str]:
    """Return what is wrong with names of models; imports their families."""
    problems = _Problems()
    for option in models:
        family = problems.collect(load, "bidsclf.models", option)
        members = list(family.VARIANTS) if family else []
        is_all = option.partition("-")[2] == ALL
        if members and option not in members and not is_all:
            problems.append(
                f"no model {option!r}; there are: {', '.join(members)}."
                f"{did_you_mean(option, members)}"
            )
    return problems


def _pointless(namespace: argparse.Namespace, plain: dict[str, Any]) -> Iterator[str]:
    if get(plain, "folds.scheme") != "loso":
        return
    for option in ("--n-folds", "--n-repeats"):
        if settings()[option][0] in namespace:
            yield f"{option} and --cv loso: it has one fold a site. Drop one of them."


def to_config(namespace: argparse.Namespace) -> Config:
    """Return the settings of a run.

    Parameters
    ----------
    namespace : argparse.Namespace
        From ``parse``. A setting of ``--config-file`` stands where the command
        line says nothing.

    Raises
    ------
    ConfigError
        Everything that is wrong, one problem a line.
    """
    problems = _Problems(_unknown(namespace.unknown))
    plain: dict[str, Any] = {}
    if "config_file" in namespace:
        plain = problems.collect(_read_toml, namespace.config_file) or {}
    problems += _positionals(namespace, plain)
    problems += _asked(namespace, plain)
    if plain.get("level") == "predict" and not get(plain, "analysis.analysis_id"):
        put(plain, "analysis.analysis_id", "predictions")  # "main" is the group's
    make_absolute(plain)
    problems += _pointless(namespace, plain)
    problems += disk_problems(plain)
    required = {"bids_dir": ".", "output_dir": ".", "level": "participant"}
    config: Config | None = problems.collect(from_plain, Config, required | plain)
    if config is None or problems:
        models = get(plain, "analysis.models") or []
        asked = [models] if isinstance(models, str) else models
        problems += unknown_models(tuple(map(str, asked)))
        raise ConfigError("\n".join(problems))
    return config
