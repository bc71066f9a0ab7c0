"""What a dataset says of itself, whatever stands there."""

import json

import pytest

from bidsclf.dataset import describe, why_not_ours
from bidsclf.errors import ConfigError, InputError
from bidsclf.files.derivatives import Roots, write_roots


def say(folder, text):
    (folder / "dataset_description.json").write_text(text)
    return folder


def test_no_description_says_nothing(tmp_path):
    assert describe(tmp_path) == {"Name": "", "GeneratedBy": []}
    assert why_not_ours(tmp_path) == ""


@pytest.mark.parametrize("pipelines", ["null", "3", '"x"', "[1]", "[{}]"])
def test_wrong_fields_are_empty(tmp_path, pipelines):
    say(tmp_path, f'{{"Name": 7, "GeneratedBy": {pipelines}, "License": "CC0"}}')
    expected = {"Name": "", "GeneratedBy": [], "License": "CC0"}
    assert describe(tmp_path) == expected


@pytest.mark.parametrize("text", ["[]", "3", "{", "\udcff"])
def test_what_is_no_object_is_refused_by_name(tmp_path, text):
    path = tmp_path / "dataset_description.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=r"dataset_description\.json: "):
        describe(tmp_path)
    assert "dataset_description.json" in why_not_ours(tmp_path)


@pytest.mark.parametrize("name", ["fMRIPrep", None])
def test_a_dataset_of_another_is_not_written_to(tmp_path, name):
    pipelines = {"GeneratedBy": [{"Name": name}]} if name else {}
    say(tmp_path, json.dumps({"Name": "study", **pipelines}))
    with pytest.raises(ConfigError, match=r"did not write.*new or empty folder"):
        write_roots(tmp_path, Roots())
    assert [path.name for path in tmp_path.iterdir()] == ["dataset_description.json"]


def test_what_we_wrote_is_ours(tmp_path):
    write_roots(tmp_path, Roots(generated_by=({"Name": "fMRIPrep"},)))
    assert why_not_ours(tmp_path) == ""
    write_roots(tmp_path, Roots())
