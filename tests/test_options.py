"""Options that are files: listed without being imported, proposed when misspelt."""

import sys

import pytest

from bidsclf.errors import ConfigError
from bidsclf.options import data_names, did_you_mean, load, names


@pytest.fixture
def families(tmp_path, monkeypatch):
    folder = tmp_path / "families"
    folder.mkdir()
    for name in ("__init__", "_base", "lstm", "gru"):
        (folder / f"{name}.py").write_text(f"NAME = {name!r}\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "families"
    for name in [name for name in sys.modules if name.startswith("families")]:
        del sys.modules[name]


def test_the_folder_is_the_list_and_private_files_are_not_in_it(families):
    assert names(families) == ("gru", "lstm")


def test_listing_imports_no_option(families):
    names(families)
    assert "families.gru" not in sys.modules


@pytest.mark.parametrize("option", ["lstm", "lstm-dg", "lstm-dg-deep"])
def test_the_part_before_the_first_dash_names_the_file(families, option):
    assert load(families, option).NAME == "lstm"


def test_an_unknown_option_lists_what_there_is(families):
    with pytest.raises(
        ConfigError, match=r"'grru-last'; there are: gru, lstm\. .*'gru'\?"
    ):
        load(families, "grru-last")


def test_a_package_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"bidsclf\.scan is not a package"):
        names("bidsclf.scan")


def test_nothing_is_proposed_for_a_word_like_no_other():
    assert did_you_mean("zzz", ["fc-svm"]) == ""


def test_json_files_are_listed_by_their_stem():
    assert "simple" in data_names("strategies")
