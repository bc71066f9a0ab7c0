"""How a setting is declared, checked when made, saved and read back."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from bidsclf.errors import ConfigError
from bidsclf.options import did_you_mean

WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
}
BOUNDS = {
    "least": "{} or more",
    "above": "a number above {}",
    "most": "{} or less",
    "below": "a number below {}",
}


def setting(default: Any, option: str = "", **limits: Any) -> Any:
    """Return a dataclass field that knows its option and its limits.

    Parameters
    ----------
    default : any
        Value when nothing is asked for.
    option : str
        How a message names the setting; its own name when empty.
    **limits
        ``least``, ``most`` (inclusive), ``above``, ``below`` (exclusive), or
        ``choices``, a tuple of all values.
    """
    return field(default=default, metadata={"option": option, **limits})


def _is_within(value: float, limits: Mapping[str, Any]) -> bool:
    holds = {
        "least": value >= limits.get("least", value),
        "most": value <= limits.get("most", value),
        "above": value > limits.get("above", -math.inf),
        "below": value < limits.get("below", math.inf),
    }
    return all(holds.values())  # infinity is not below infinity; NaN holds nothing


def _limit_problem(name: str, value: Any, limits: Mapping[str, Any]) -> str:
    choices = limits.get("choices")
    bounds = [text.format(limits[key]) for key, text in BOUNDS.items() if key in limits]
    if choices and value is not None and value not in choices:
        hint = did_you_mean(str(value), list(choices))
        return f"{name} is {value!r}; it is one of: {', '.join(choices)}.{hint}"
    if bounds and value is not None and not _is_within(value, limits):
        return f"{name} is {value}; it takes {' and '.join(bounds)}."
    return ""


def name_each_once(option: str, names: tuple[str, ...]) -> list[str]:
    """Return what is wrong with a list of names: none, or one twice."""
    if not names:
        return [f"{option} is empty; name at least one."]
    if len(set(names)) < len(names):
        return [f"{option} names one twice: {' '.join(names)}."]
    return []


class Checked:
    """A settings part that refuses bad values, all of them in one message."""

    __slots__ = ()

    def __post_init__(self) -> None:
        found = [
            _limit_problem(_name(known), getattr(self, known.name), known.metadata)
            for known in fields(self)  # type: ignore[arg-type]
        ]
        problems = [*filter(None, found), *self._contradictions()]
        if problems:
            raise ConfigError("\n".join(problems))

    def _contradictions(self) -> list[str]:
        return []  # what the settings of a part say against each other


def _name(known: Any) -> str:
    return str(known.metadata.get("option") or known.name)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def to_plain(part: Any) -> dict[str, Any]:
    """Return a part as JSON and TOML values, without the settings that are None."""
    plain: dict[str, Any] = _plain(asdict(part))
    return plain


def _shape(kind: Any) -> tuple[Any, bool]:
    """Split ``float | None`` into ``(float, True)``."""
    if get_origin(kind) is UnionType:
        inner = [arg for arg in get_args(kind) if arg is not type(None)]
        return inner[0], True
    return kind, False


def _is_required(known: Any) -> bool:
    return known.default is MISSING and known.default_factory is MISSING


def _number(value: Any, kind: type) -> Any:
    try:
        return kind(value) if not isinstance(value, bool) else None
    except ValueError:
        return None


def _cast(value: Any, kind: Any) -> Any:
    """Return value as ``kind``, or None where it cannot be one."""
    if get_origin(kind) is tuple:
        items = [value] if isinstance(value, str) else value
        is_list = isinstance(items, list | tuple)
        is_text = is_list and all(isinstance(item, str) for item in items)
        return tuple(items) if is_text else None
    if kind is Path:
        return Path(value) if isinstance(value, str | Path) and str(value) else None
    if kind in (int, float):
        fits = isinstance(value, str | int | kind)
        return _number(value, kind) if fits else None
    return value if isinstance(value, kind) else None


def _read(known: Any, value: Any, within: str) -> Any:
    """Return the value of one setting, or raise what is wrong with it."""
    kind, is_optional = _shape(known.type)
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{within} is {value!r}; it is a table of settings.")
        return from_plain(kind, value, within=within)
    if value is None and is_optional:
        return None
    made = _cast(value, kind)
    if made is None:
        word = "a list of text" if get_origin(kind) is tuple else WORDS[kind]
        raise ConfigError(f"{_name(known)} is {value!r}; it takes {word}.")
    return made


def from_plain(kind: Any, values: Mapping[str, Any], *, within: str = "") -> Any:
    """Rebuild a part from ``to_plain``, from TOML, or from text.

    Parameters
    ----------
    kind : type
        The dataclass to make.
    values : mapping
        Settings by name; numbers may be text.
    within : str
        Name of the part in messages, for example ``extract.denoise``.

    Raises
    ------
    ConfigError
        Every unknown setting and every bad value, one a line.
    """
    known = {each.name: each for each in fields(kind)}
    made, problems, broken = {}, [], False
    for name, value in values.items():
        place = f"{within}.{name}".lstrip(".")
        if name not in known:
            hint = did_you_mean(name, list(known)) or f" There are: {', '.join(known)}."
            problems.append(f"unknown setting {place}.{hint}")
            continue
        try:
            made[name] = _read(known[name], value, place)
        except ConfigError as error:
            problems.append(str(error))
            broken |= is_dataclass(_shape(known[name].type)[0])
    required = [name for name, each in known.items() if _is_required(each)]
    problems += [f"{name} is missing." for name in required if name not in values]
    part = None
    try:
        if broken:
            _check_limits(known, made)
        elif made.keys() >= set(required):
            part = kind(**made)
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return part


def _check_limits(known: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Refuse single values; what parts say against each other needs all of them."""
    found = [
        _limit_problem(_name(known[name]), value, known[name].metadata)
        for name, value in made.items()
    ]
    if any(found):
        raise ConfigError("\n".join(filter(None, found)))
