"""The words on a page: cells, intervals, escaping."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from bidsclf.report import page


def participant(**changes):
    values = {"participant": "sub-01", "scans": [], "maps": [], "failures": []}
    values["summary"] = page.rows([], ["scan"])
    return values | changes


@given(value=st.floats(-1e3, 1e3))
def test_a_number_has_two_digits(value):
    assert float(page.text(value)) == pytest.approx(value, abs=0.005001)


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_what_is_missing_is_na(missing):
    assert page.text(missing) == "n/a"


def test_an_interval_without_ends_is_the_estimate_alone():
    assert page.interval(0.5, float("nan"), 0.7) == "0.50"


def test_labels_are_escaped(tmp_path):
    evil = "<script>alert('x')</script>"
    failure = {"unit": evil, "message": evil}
    made = page.write(
        tmp_path / "page.html", "participant", participant(failures=[failure])
    )
    text = made.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert text.count("&lt;script&gt;") == 2


def test_a_page_needs_nothing_beside_it(tmp_path):
    text = page.write(tmp_path / "page.html", "participant", participant()).read_text()
    assert 'name="viewport"' in text
    assert not any(word in text for word in ("http://", "https://", "src=", "@import"))


def test_a_forgotten_value_is_an_error_and_leaves_no_page(tmp_path):
    values = participant()
    del values["scans"]
    with pytest.raises(UndefinedError, match="scans"):
        page.write(tmp_path / "page.html", "participant", values)
    assert not list(tmp_path.iterdir())


@given(st.text(alphabet="ab<>&\"'`*# -1.\n", max_size=60))
def test_prose_lets_no_markup_of_the_text_through(markdown):
    made = str(page.prose(markdown))
    known = r"</?(p|h3|ul|ol|li|b|code)>"
    assert "<" not in re.sub(known, "", made)
    opened, closed = re.findall(r"<(\w+)>", made), re.findall(r"</(\w+)>", made)
    assert sorted(opened) == sorted(closed)


def test_prose_keeps_paragraphs_and_lists_apart():
    made = page.prose("# A\n\nOne\ntwo.\n\n- b\n- c\n\n1. d")
    assert made == (
        "<h3>A</h3>\n<p>One two.</p>\n"
        "<ul><li>b</li><li>c</li></ul>\n<ol><li>d</li></ol>"
    )
