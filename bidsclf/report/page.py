"""Templates to self-contained pages; every value is escaped."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bidsclf import __version__
from bidsclf.files import store

MISSING = "n/a"
LIST = re.compile(r"(-|\d+\.) ")
CONTROL = "control-"  # how the models that see no brain signal are named


@dataclass(frozen=True, slots=True)
class Rows:
    """A table as a template takes it: columns, which are numbers, and the rows."""

    columns: tuple[str, ...]
    numbers: frozenset[str] = frozenset()
    rows: list["Row"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """One line: ``(column, text)`` pairs, greyed when it is a control model."""

    cells: tuple[tuple[str, str], ...]
    control: bool = False


def rows(
    records: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    numbers: Iterable[str] = (),
) -> Rows:
    """Return records as a table; a first column ``control-…`` greys the line.

    Examples
    --------
    >>> made = rows([{"model": "control-site", "n": 3}], ["model", "n"])
    >>> made.rows[0].control, made.rows[0].cells
    (True, (('model', 'control-site'), ('n', '3')))
    """
    lines = []
    for record in records:
        cells = tuple((name, text(record.get(name))) for name in columns)
        lines.append(Row(cells, is_control(cells[0][1])))
    return Rows(tuple(columns), frozenset(numbers), lines)


def is_control(model: str) -> bool:
    """Tell whether a model sees no brain signal."""
    return model.startswith(CONTROL)


def text(value: Any, digits: int = 2) -> str:
    """Return a cell's text; what is missing is ``n/a``.

    Examples
    --------
    >>> text(0.12345), text(float("nan")), text(12), text(-0.001)
    ('0.12', 'n/a', '12', '0.00')
    """
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return MISSING
    if isinstance(value, float):
        return f"{round(value, digits) + 0.0:.{digits}f}"  # no negative zero
    return str(value)


def interval(estimate: float, low: float, high: float) -> str:
    """Return an estimate with its interval.

    Examples
    --------
    >>> interval(0.771, 0.70, 0.8349), interval(float("nan"), 0, 0)
    ('0.77 [0.70, 0.83]', 'n/a')
    """
    if pd.isna(estimate):
        return MISSING
    if pd.isna(low) or pd.isna(high):
        return text(float(estimate))
    return f"{text(float(estimate))} [{text(float(low))}, {text(float(high))}]"


def mean_sd(values: pd.Series, digits: int = 1) -> str:
    """Return the mean with the standard deviation, what is missing left out.

    Examples
    --------
    >>> mean_sd(pd.Series([10.0, 12.0, None])), mean_sd(pd.Series([30.0]))
    ('11.0 (1.4)', '30.0')
    """
    mean, sd = float(values.mean()), float(values.std())
    spread = "" if pd.isna(sd) else f" ({text(sd, digits)})"
    return text(mean, digits) + spread


def p_value(p: float) -> str:
    """Return a p value; below what four digits show, the bound.

    Examples
    --------
    >>> p_value(0.0312), p_value(1e-9), p_value(float("nan"))
    ('0.0312', '< 0.0001', 'n/a')
    """
    return "< 0.0001" if p < 1e-4 else text(float(p), 4)


def p_words(p: float) -> str:
    """Return a p value in a sentence.

    Examples
    --------
    >>> p_words(0.0312), p_words(1e-9)
    ('p = 0.0312', 'p < 0.0001')
    """
    said = p_value(p)
    return f"p {said}" if said.startswith("<") else f"p = {said}"


def smallest_p(n_permutations: float) -> float:
    """Return the smallest (b + 1) / (m + 1) there is, for m permutations.

    Examples
    --------
    >>> smallest_p(19)
    0.05
    """
    return 1 / (n_permutations + 1)


def write(path: Path, template: str, values: Mapping[str, Any]) -> Path:
    """Fill a template of ``data/report`` and write the page.

    Parameters
    ----------
    path : Path
    template : str
        ``participant`` or ``group``.
    values : mapping
        What the template names; a missing one raises.
    """
    page = _environment(autoescape=True).get_template(f"{template}.html.jinja")
    return store.write_text(path, page.render(version=__version__, **values))


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Fill a text template of ``data/report``, such as ``methods.md``.

    Blank lines in a row become one, and spaces at the end of a line go.
    """
    filled = _environment(autoescape=False).get_template(f"{template}.jinja")
    lines = [" ".join(line.split()) for line in filled.render(values).splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _environment(*, autoescape: bool) -> Environment:
    return Environment(
        loader=PackageLoader("bidsclf", "data/report"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def prose(markdown: str) -> Markup:
    r"""Return plain Markdown as HTML: headings, lists, paragraphs, bold and code.

    Examples
    --------
    >>> print(prose("# A\n- **b** `<c>`\n- d"))
    <h3>A</h3>
    <ul><li><b>b</b> <code>&lt;c&gt;</code></li><li>d</li></ul>
    """
    made = []
    for kind, lines in groupby(markdown.splitlines(), key=_kind):
        if kind in ("ul", "ol"):
            items = [f"<li>{_inline(LIST.sub('', line))}</li>" for line in lines]
            made.append(f"<{kind}>{''.join(items)}</{kind}>")
        elif kind == "heading":
            made += [f"<h3>{_inline(line.lstrip('# '))}</h3>" for line in lines]
        elif kind == "paragraph":
            made.append(f"<p>{_inline(' '.join(lines))}</p>")
    return Markup("\n".join(made))  # every piece of text went through escape


def _kind(line: str) -> str:
    if not line:
        return "blank"
    if line.startswith("#"):
        return "heading"
    if LIST.match(line):
        return "ul" if line.startswith("-") else "ol"
    return "paragraph"


def _inline(text: str) -> str:
    safe = str(escape(text))
    safe = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", safe)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", safe)
