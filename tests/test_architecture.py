"""The house: imports point down, dependencies stay in their homes, limits bind."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "bidsclf"
FLOORS = (  # lower floors first; a part imports only from floors below its own
    {"__init__", "__version__", "errors"},
    {"options"},
    {"checks", "dataset"},
    {"config", "scan"},
    {"files", "features", "models", "harmonize", "folds", "evaluate", "arguments"},
    {"sources", "cohort", "crossval", "screening", "interpret"},
    {"report"},
    {"workflows"},
    {"cli"},
)
HOMES = {  # third party -> the only places that may name it
    "nipype": {"workflows"},
    "bids": {"files"},
    "torch": {"models", "interpret"},
    "neuroHarmonize": {"harmonize"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "umap": {"interpret"},
    "numba": {"interpret"},
}
LINES, BODY, PARAMETERS = 300, 40, 6
FLOOR = {part: level for level, parts in enumerate(FLOORS) for part in parts}
MODULES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(tree: ast.AST):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return (node for node in ast.walk(tree) if isinstance(node, kinds))


def body_lines(function: ast.FunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def parameters(function: ast.FunctionDef) -> int:
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return len([arg for arg in every if arg.arg not in ("self", "cls")])


@pytest.fixture(params=MODULES, ids=name_of)
def module(request):
    return request.param, ast.parse(request.param.read_text(encoding="utf-8"))


def test_imports_point_down(module):
    path, tree = module
    here = part_of(path)
    for name in imports(tree):
        top, _, rest = name.partition(".")
        if top == "bidsclf":
            there = rest.partition(".")[0]
            assert there == here or FLOOR[there] < FLOOR[here], f"{here} <- {there}"
        assert here in HOMES.get(top, {here}), f"{here} imports {top}"


def test_files_and_functions_stay_small(module):
    path, tree = module
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES
    for function in functions(tree):
        assert body_lines(function) <= BODY, function.name
        assert parameters(function) <= PARAMETERS, function.name


def test_modules_hold_no_mutable_globals(module):
    _, tree = module
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Global), "a global statement"
        assert not isinstance(node, ast.ExceptHandler) or node.type, "a bare except"


def test_every_part_has_a_floor():
    assert {part_of(path) for path in MODULES} <= set(FLOOR)


def test_there_is_no_drawer_for_odds_and_ends():
    assert not {"utils", "util", "helpers", "common"} & {p.stem for p in MODULES}
