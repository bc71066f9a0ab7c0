"""``--model-settings``: what a user changes of a model, read as its default is."""

from collections.abc import Mapping, Sequence
from typing import Any

from bidsclf.errors import ConfigError
from bidsclf.models._base import Variant, find
from bidsclf.options import did_you_mean

OPTION = "--model-settings"
MOST = 10**9  # of any number; beyond it a word is a slip of the keys
YES, NO = ("true", "yes", "1"), ("false", "no", "0")


def read_settings(option: str, words: Sequence[str]) -> dict[str, Any]:
    """Return what ``--model-settings`` changes of one model.

    Parameters
    ----------
    option : str
        The model, as ``--models`` names it.
    words : sequence of str
        ``MODEL:NAME=VALUE``; those of other models are passed over.

    Returns
    -------
    settings : dict
        Keywords of ``Variant.make``, each of the type of its default.

    Raises
    ------
    ConfigError
        Every unknown name and every value that is not of the default's type or
        among the choices, one a line; or what the model itself refuses.
    """
    variant, found, problems = find(option), {}, []
    for word in words:
        model, name, text = parted(word)
        if model != option:
            continue
        try:
            found[name] = _value(variant, word, name, text)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    if found:
        try:
            variant.make(**found)
        except ConfigError as error:
            raise ConfigError(f"{OPTION} for {option}: {error}") from error
    return found


def restored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that were written as JSON, which knows no tuple.

    Examples
    --------
    >>> restored({"layers": [60, 50]})
    {'layers': (60, 50)}
    """
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
    }


def parted(word: str) -> tuple[str, str, str]:
    """Return model, setting and value of a word of ``--model-settings``.

    Examples
    --------
    >>> parted("meanmlp:patience=20")
    ('meanmlp', 'patience', '20')
    """
    model, _, rest = word.partition(":")
    name, _, text = rest.partition("=")
    return model, name, text


def _value(variant: Variant, word: str, name: str, text: str) -> Any:
    known = list(variant.settings)
    if not known:
        raise ConfigError(f"{OPTION} {word}: this model has no settings to change.")
    if name not in known:
        raise ConfigError(
            f"{OPTION} {word}: no setting {name!r}; there are: {', '.join(known)}."
            f"{did_you_mean(name, known)}"
        )
    default, choices = variant.settings[name], variant.choices.get(name)
    value = _read(default, text.strip())
    if choices and text.strip() not in choices:
        raise ConfigError(
            f"{OPTION} {word}: {name} is one of: {', '.join(choices)}."
            f"{did_you_mean(text, choices)}"
        )
    if value is None:
        raise ConfigError(
            f"{OPTION} {word}: {name} takes {_expected(default)}, such as"
            f" {OPTION} {word.partition('=')[0]}={shown(default)}, the default."
        )
    return value


def _read(default: Any, text: str) -> Any:
    """Return text as the default's type, None where it cannot be."""
    if isinstance(default, bool):
        is_known = text.lower() in (*YES, *NO)
        return text.lower() in YES if is_known else None
    if isinstance(default, tuple):
        if not text and not default:
            return ()
        items = [_number(item.strip(), int) for item in text.split(",")]
        return None if None in items else tuple(items)
    if isinstance(default, int | float):
        return _number(text, type(default))
    return text or None


def _number(text: str, kind: type) -> Any:
    """Return a number from 0 to ``MOST``, None for any other text."""
    try:
        value = kind(text)
    except ValueError:
        return None
    is_plain = text.isascii() and "_" not in text  # which Python would read as well
    return value if is_plain and 0 <= value <= MOST else None


def _expected(default: Any) -> str:
    words = {
        bool: "true or false",
        int: "a whole number from 0 to 1000000000",
        float: "a number from 0 to 1000000000",
        tuple: "whole numbers from 0 to 1000000000, joined by commas",
    }
    return words.get(type(default), "a word")


def shown(value: Any) -> str:
    """Return a setting as ``--model-settings`` spells it.

    Examples
    --------
    >>> shown((60, 50)), shown(True), shown(1e-3)
    ('60,50', 'true', '0.001')
    """
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
