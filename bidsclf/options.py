"""Options that are files: the folder is the list of what can be asked for."""

from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from bidsclf.errors import ConfigError

DATA = Path(__file__).parent / "data"


def did_you_mean(word: str, known: tuple[str, ...] | list[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known word, or nothing.

    Examples
    --------
    >>> did_you_mean("fc-smv", ["fc-svm", "meanmlp"])
    " Did you mean 'fc-svm'?"
    >>> did_you_mean("zzz", ["fc-svm"])
    ''
    """
    near = get_close_matches(word, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def names(package: str) -> tuple[str, ...]:
    """List the options of a package, sorted, importing none of them.

    Examples
    --------
    >>> "fc" in names("bidsclf.models")
    True
    """
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ConfigError(f"{package} is not a package of options.")
    modules = (m.name for m in iter_modules(spec.submodule_search_locations))
    return tuple(sorted(m for m in modules if not m.startswith("_")))


def data_names(folder: str) -> tuple[str, ...]:
    """List the JSON files in a folder of ``bidsclf/data``, sorted, without suffix.

    Examples
    --------
    >>> data_names("no such folder")
    ()
    """
    return tuple(sorted(path.stem for path in (DATA / folder).glob("*.json")))


def load(package: str, option: str) -> ModuleType:
    """Import the module of an option; ``lstm-dg`` is looked up in ``lstm.py``."""
    module, known = option.partition("-")[0], names(package)
    if module not in known:
        raise ConfigError(
            f"no {package.rpartition('.')[2]} option {option!r};"
            f" there are: {', '.join(known)}.{did_you_mean(module, known)}"
        )
    return import_module(f"{package}.{module}")
