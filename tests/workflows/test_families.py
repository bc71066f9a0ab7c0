"""A family asked for as one: real models everywhere behind the first line."""

import pytest

from bidsclf.arguments import parse, to_config, unknown_models
from bidsclf.config import AnalysisConfig, Config
from bidsclf.errors import ConfigError
from bidsclf.models._base import Variant, variants
from bidsclf.models._settings import read_settings
from bidsclf.workflows import _families
from bidsclf.workflows.group import run_group

LSTMS = ("lstm-s", "lstm-d", "lstm-h", "lstm-dg")


def config_of(tmp_path, *models, settings=()):
    return Config(
        bids_dir=tmp_path,
        output_dir=tmp_path,
        level="group",
        analysis=AnalysisConfig(models=models, settings=settings),
    )


def expanded(tmp_path, *models, settings=()):
    made = _families.expanded(config_of(tmp_path, *models, settings=settings))
    return made.analysis.models, made.analysis.settings


def test_a_family_is_its_members_in_its_order_where_it_stands(tmp_path):
    found, _ = expanded(tmp_path, "control-site", "lstm-all", "meanmlp-all")
    assert found == ("control-site", *LSTMS, "meanmlp")


def test_real_models_pass_unchanged(tmp_path):
    config = config_of(tmp_path, "fc-svm", "lstm-d", settings=("lstm-d:n_epochs=5",))
    assert _families.expanded(config) == config
    assert _families.expanded(_families.expanded(config)) == config


def test_all_families_together_are_all_models(tmp_path):
    families = dict.fromkeys(f"{name.partition('-')[0]}-all" for name in variants())
    found, _ = expanded(tmp_path, *families)
    assert sorted(found) == sorted(variants())


def test_a_setting_of_the_family_goes_to_each_member_that_has_it(tmp_path):
    words = ("lstm-all:n_epochs=5", "lstm-all:balance=0.2")
    _, found = expanded(tmp_path, "lstm-all", settings=words)
    epochs = [f"{name}:n_epochs=5" for name in LSTMS]
    assert found == (*epochs, "lstm-h:balance=0.2", "lstm-dg:balance=0.2")


@pytest.mark.parametrize("is_first", [True, False])
def test_a_member_s_own_setting_wins_wherever_it_stands(tmp_path, is_first):
    words = ["lstm-d:n_epochs=7", "lstm-all:n_epochs=5"]
    words = words if is_first else words[::-1]
    _, found = expanded(tmp_path, "lstm-all", settings=tuple(words))
    epochs = {name: read_settings(name, found)["n_epochs"] for name in LSTMS}
    assert epochs == {name: 5 for name in LSTMS} | {"lstm-d": 7}


def test_a_real_member_called_all_is_that_member(tmp_path, monkeypatch):
    family = type("Family", (), {"VARIANTS": {}})
    for name in ("toy-a", "toy-all"):
        family.VARIANTS[name] = Variant(input="fisherz", make=object)
    monkeypatch.setattr(_families, "load", lambda *_: family)
    monkeypatch.setattr(_families, "find", family.VARIANTS.get)
    assert _families.members_of("toy-all") == ("toy-all",)


@pytest.mark.parametrize(
    ("models", "words", "message"),
    [
        (("lstn-all",), (), r"no models option 'lstn-all'.*Did you mean 'lstm'\?"),
        (("all",), (), "no models option 'all'; there are: .*lstm"),
        (("lstm-dg-all",), (), "no model 'lstm-dg-all'; there are: lstm-s, lstm-d"),
        (("lstm-all", "lstm-d"), (), "lstm-all holds lstm-d, which is named too"),
        (("lstm-all",), ("lstm-all:epochs=5",), "none of lstm-s.*Did you mean 'n_ep"),
        (("fc-all",), ("fc-all:c=5",), "none of fc-svm.*'c'; they have none"),
        (("lstm-all",), ("lstm-x:n_epochs=5",), "'lstm-x' is not among --models lst"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, models, words, message):
    with pytest.raises(ConfigError, match=message):
        expanded(tmp_path, *models, settings=words)


def test_a_family_that_was_not_asked_for_has_no_settings(tmp_path):
    with pytest.raises(ConfigError, match="'lstm-all' is not among --models lstm-d"):
        config_of(tmp_path, "lstm-d", settings=("lstm-all:n_epochs=5",))


@pytest.mark.parametrize(
    ("models", "word", "said"),
    [
        (("cnn3d",), "cnn3d-all:width=4", "Write cnn3d:width=4, or name cnn3d-all"),
        (
            ("fc-svm", "resnet3d-a-bigru", "resnet3d-c-bilstm"),
            "resnet3d-all:width=4",
            "Write resnet3d-a-bigru:width=4 resnet3d-c-bilstm:width=4, or name",
        ),
        (("fc-svm",), "cnn3d-all:width=4", "--models fc-svm.$"),
    ],
)
def test_a_family_s_setting_names_what_to_write_of_single_members(
    tmp_path, models, word, said
):
    with pytest.raises(ConfigError, match=said):
        config_of(tmp_path, *models, settings=(word,))


def test_the_command_line_takes_families_and_settings_of_members(tmp_path):
    words = ["--models", "lstm-all", "--model-settings", "lstm-d:n_epochs=7"]
    named = [str(tmp_path / "in"), str(tmp_path / "out"), "group", *words]
    (tmp_path / "in").mkdir()
    config = to_config(parse(named))
    assert config.analysis.models == ("lstm-all",)
    assert unknown_models(config.analysis.models) == []
    assert "no models option 'lstn-all'" in unknown_models(("lstn-all",))[0]


def test_a_dry_run_shows_the_members(seam, tmp_path, capsys):
    words = [str(seam), str(tmp_path / "out"), "group", "--dry-run", "--models"]
    words += ["lstm-all", "--positive-label", "autism", "--n-folds", "2"]
    assert run_group(to_config(parse(words))) == 0
    said = capsys.readouterr().out
    assert "12 fits of lstm-s lstm-d lstm-h lstm-dg\n" in said
    assert "lstm-dg_fold-02: to do" in said
    assert "lstm-all" not in said
