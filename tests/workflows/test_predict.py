"""The predict level: new people only, with the features the model knows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bidsclf.config import (
    AnalysisConfig,
    CohortConfig,
    Config,
    FoldConfig,
    HarmonizeConfig,
    RunConfig,
)
from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.files import store
from bidsclf.workflows import _persons
from bidsclf.workflows.group import run_group
from bidsclf.workflows.predict import run_predict

MODELS = ("fc-svm", "control-site", "control-phenotype")
FINAL = Path("derivatives", "main", "models", "fc-svm", "final")


def train(write_people, out, models, **settings):
    """Write 24 people and fit models of them."""
    write_people(out, [f"{n:02d}" for n in range(24)])
    config = Config(
        bids_dir=out,
        output_dir=out,
        level="group",
        folds=FoldConfig(n_folds=2),
        analysis=AnalysisConfig(models=models, n_bootstrap=100, device="cpu"),
        **settings,
    )
    assert run_group(config) == 0


@pytest.fixture(scope="module")
def trained(write_people, tmp_path_factory):
    """A study with a model of it."""
    out = tmp_path_factory.mktemp("trained")
    train(write_people, out, MODELS)
    return out


def config_of(out, trained, **run):
    return Config(
        bids_dir=out,
        output_dir=out,
        level="predict",
        model=trained / FINAL,
        analysis=AnalysisConfig(analysis_id="new", device="cpu"),
        run=RunConfig(**run),
    )


def predictions(out):
    path = out / "derivatives" / "new" / "predictions.tsv"
    return store.read_table(path, text=("participant_id", "site"))


def test_new_people_get_a_score_and_a_label(trained, tmp_path, write_people):
    truth = write_people(tmp_path, [f"{n:02d}" for n in range(12)], seed=7)
    assert run_predict(config_of(tmp_path, trained)) == 0
    found = predictions(tmp_path)
    assert list(found) == [
        "participant_id",
        "site",
        "model",
        "score",
        "probability",
        "harmonized",
        "label",
    ]
    assert set(found["harmonized"]) == {"none"}
    assert ((found["probability"] >= 0.5) == (found["score"] >= 0.5)).all()
    assert found["score"].between(0, 1).all()
    assert (found["label"] == truth["diagnosis"]).mean() > 0.9
    assert ((found["score"] >= 0.5) == (found["label"] == "autism")).all()
    again = predictions(tmp_path)
    assert run_predict(config_of(tmp_path, trained, force=True)) == 0
    pd.testing.assert_frame_equal(again, predictions(tmp_path))


def test_people_of_the_training_set_are_refused(trained, tmp_path, write_people):
    with pytest.raises(
        NothingMatched, match=r"taught by, all 24 people here: sub-00, .* and 19 more"
    ):
        run_predict(config_of(trained, trained))
    write_people(tmp_path, [f"{n:02d}" for n in range(20, 28)], seed=9)
    known = trained / "sub-03" / "func"
    folder = tmp_path / "sub-21" / "func"
    for path in known.iterdir():  # the same scan under another label
        place = folder / path.name.replace("sub-03", "sub-21")
        place.write_bytes(path.read_bytes())
    assert run_predict(config_of(tmp_path, trained)) == 4
    assert "sub-21" not in set(predictions(tmp_path)["participant_id"])
    assert len(predictions(tmp_path)) == 7
    (path,) = tmp_path.glob("logs/*/summary.json")
    failed = [u for u in store.read_json(path)["units"] if u["state"] == "failed"]
    assert [unit["unit"] for unit in failed] == ["sub-21"]
    assert "was fitted on, or first taught by, this person" in failed[0]["message"]


def test_other_features_are_refused(trained, tmp_path, write_people):
    write_people(tmp_path, ["90", "91"], regions=("x", "y", "z", "u", "v", "w"))
    with pytest.raises(InputError, match="regions"):
        run_predict(config_of(tmp_path, trained))
    assert not (tmp_path / "derivatives").exists()


def test_nothing_that_stands_is_overwritten(trained, tmp_path, write_people):
    write_people(tmp_path, ["90", "91"], seed=3)
    config = config_of(tmp_path, trained)
    assert run_predict(config) == 0
    write_people(tmp_path, ["92", "93"], seed=4)
    with pytest.raises(ConfigError, match="of other people or features"):
        run_predict(config)


def test_a_dry_run_writes_nothing(trained, tmp_path, write_people, capsys):
    write_people(tmp_path, ["90", "91"], seed=3)
    assert run_predict(config_of(tmp_path, trained, dry_run=True)) == 0
    assert "sub-90: to do" in capsys.readouterr().out
    assert not (tmp_path / "derivatives").exists()


def test_a_dry_run_refuses_whom_the_run_refuses(
    trained, tmp_path, write_people, capsys
):
    with pytest.raises(NothingMatched, match="taught by, all 24 people"):
        run_predict(config_of(trained, trained, dry_run=True))
    assert capsys.readouterr().out == ""
    write_people(tmp_path, [f"{n:02d}" for n in range(16, 26)], seed=9, name="Study 0")
    assert run_predict(config_of(tmp_path, trained, dry_run=True)) == 0
    first, why, *others, _ = capsys.readouterr().out.splitlines()
    assert first == (
        "8 of 10 are refused: sub-16, sub-17, sub-18, sub-19, sub-20 and 3 more"
    )
    assert "fitted on, or first taught by, this person" in why
    assert others == ["sub-24: to do", "sub-25: to do"]


def test_a_model_must_be_given(trained, tmp_path):
    with pytest.raises(ConfigError, match="--model"):
        run_predict(replace(config_of(tmp_path, trained), model=None))
    with pytest.raises(InputError, match=r"has no model\.json"):
        run_predict(replace(config_of(tmp_path, trained), model=tmp_path))


def test_a_person_is_a_label_in_a_named_study_and_nothing_more(tmp_path):
    hashes = []
    for name in ("A", "B", "A"):
        store.write_json(tmp_path / "dataset_description.json", {"Name": name})
        hashes.append(_persons.person_digests(tmp_path, ["sub-01", "sub-02"]))
    assert hashes[0] == hashes[2]
    assert len({one for study in hashes for one in study}) == 4


@pytest.mark.parametrize("change", ["order", "age", "text", "site"])
def test_no_other_table_of_people_hides_who_was_learned_from(
    trained, tmp_path, write_people, change
):
    table = write_people(tmp_path, ["03", "04"], seed=5, name="Study 0")  # other runs
    changed = {
        "order": table[["participant_id", "sex", "age", "site", "diagnosis"]],
        "age": table.drop(columns="age"),
        "text": table.assign(age=table["age"].astype(float)),
        "site": table.assign(scanner=["x", "y"]),
    }[change]
    changed.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    config = config_of(tmp_path, trained)
    config = replace(config, cohort=CohortConfig(site_column="scanner"))
    with pytest.raises(NothingMatched, match="taught by, all 2 people"):
        run_predict(config)


@pytest.mark.parametrize("model", ["control-site", "control-phenotype"])
def test_people_of_one_site_and_age_are_not_one_person(
    trained, tmp_path, write_people, model
):
    table = write_people(tmp_path, ["80", "81"], seed=5)
    known = pd.read_csv(trained / "participants.tsv", sep="\t")
    table[["age", "sex", "site"]] = known[["age", "sex", "site"]][:2]
    table.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    config = replace(
        config_of(tmp_path, trained),
        model=trained / "derivatives" / "main" / "models" / model / "final",
    )
    assert run_predict(config) == 0
    assert len(predictions(tmp_path)) == 2
    context = store.read_json(config.model / "model.json")["context"]
    assert {name for one in context["training"] for name in one} == {
        "participant_id",
        "person",
    }


def test_runs_are_joined_as_those_of_the_model(tmp_path, write_people):
    out = tmp_path / "trained"
    write_people(out, [f"{n:02d}" for n in range(12)])
    config = Config(
        bids_dir=out,
        output_dir=out,
        level="group",
        cohort=CohortConfig(runs="keep"),
        folds=FoldConfig(n_folds=2),
        analysis=AnalysisConfig(models=("fc-svm",), n_bootstrap=100, device="cpu"),
    )
    assert run_group(config) == 0
    write_people(tmp_path / "new", ["80", "81"], seed=5)
    assert run_predict(config_of(tmp_path / "new", out)) == 0
    about = store.read_json(tmp_path / "new" / "derivatives" / "new" / "analysis.json")
    assert about["settings"]["cohort"]["runs"] == "keep"


def test_a_person_is_known_by_label_or_by_features():
    known = [{"person": "p", "digest": "d"}]
    rows = np.array([0, 1, 2, 2])
    found = _persons.seen(known, ["p", "q", "r"], rows, ["x", "y", "z", "d"])
    assert found.tolist() == [True, False, True]
    found = _persons.seen([{"person": "p"}], ["p", "q", "r"], rows, None)
    assert found.tolist() == [True, False, False]


def test_the_columns_say_what_a_score_and_a_label_are(trained, tmp_path, write_people):
    write_people(tmp_path, ["90", "91"], seed=3)
    assert run_predict(config_of(tmp_path, trained)) == 0
    said = store.read_json(tmp_path / "derivatives" / "new" / "predictions.json")
    assert "0.5 is the decision boundary" in said["score"]["Description"]
    assert "temperature" in said["probability"]["Description"]
    assert "identity" in said["harmonized"]["Description"]
    assert "not a diagnosis" in said["label"]["Description"]


@pytest.fixture(scope="module")
def harmonized(write_people, tmp_path_factory):
    """A study with a model that harmonizes for site and age."""
    out = tmp_path_factory.mktemp("harmonized")
    covariates = CohortConfig(covariates=("age",))
    how = HarmonizeConfig(method="combat")
    train(write_people, out, ("fc-svm",), cohort=covariates, harmonize=how)
    assert (out / FINAL / "harmonizer.safetensors").exists()
    return out


def new_table(write_people, out, n=8, **columns):
    """Write new people whose table has these columns changed; None drops one."""
    table = write_people(out, [f"{n:02d}" for n in range(60, 60 + n)], seed=7)
    table = table.drop(columns=[name for name in columns if columns[name] is None])
    table = table.assign(**{k: v for k, v in columns.items() if v is not None})
    table.to_csv(out / "participants.tsv", sep="\t", index=False, na_rep="n/a")
    return table


def test_a_harmonizing_model_harmonizes_one_new_person(
    harmonized, tmp_path, write_people
):
    truth = new_table(write_people, tmp_path / "all")
    assert run_predict(config_of(tmp_path / "all", harmonized)) == 0
    found = predictions(tmp_path / "all")
    assert set(found["harmonized"]) == {"site"}
    assert (found["label"] == truth["diagnosis"]).mean() > 0.7
    new_table(write_people, tmp_path / "one")
    alone = config_of(tmp_path / "one", harmonized)
    cohort = replace(alone.cohort, participant_label=("63",))
    assert run_predict(replace(alone, cohort=cohort)) == 0
    one = predictions(tmp_path / "one").iloc[0]
    expected = found.set_index("participant_id").loc["sub-63"]
    assert one["score"] == pytest.approx(expected["score"], rel=1e-6)
    expected = pytest.approx(expected["probability"], rel=1e-6)
    assert one["probability"] == expected


def test_an_unseen_site_follows_the_policy_that_is_asked_for(
    harmonized, tmp_path, write_people
):
    new_table(write_people, tmp_path, site=["A"] * 4 + ["Z"] * 4)
    config = config_of(tmp_path, harmonized)
    with pytest.raises(InputError, match=r"site 'Z' .*--harmonize-unseen identity"):
        run_predict(config)
    for policy in ("identity", "batch"):
        asked = replace(
            config,
            harmonize=HarmonizeConfig(unseen=policy),
            analysis=AnalysisConfig(analysis_id=policy, device="cpu"),
        )
        assert run_predict(asked) == 0
        path = tmp_path / "derivatives" / policy / "predictions.tsv"
        found = store.read_table(path, text=("participant_id", "site"))
        assert found["harmonized"].tolist() == ["site"] * 4 + [policy] * 4


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("age", None, "age"),
        ("age", [20.0, np.nan, *[30.0] * 6], r"sub-61 \(age\)"),
        ("site", [*"AAAABBB", np.nan], r"sub-67 \(site\)"),
        ("site", None, r"sub-60 \(site\), .* and 3 more"),
    ],
)
def test_what_a_harmonizing_model_needs_is_named(
    harmonized, tmp_path, write_people, column, values, message
):
    new_table(write_people, tmp_path, **{column: values})
    with pytest.raises(InputError, match=message):
        run_predict(config_of(tmp_path, harmonized))


def test_people_older_than_those_learned_from_are_said(
    harmonized, tmp_path, write_people, caplog
):
    new_table(write_people, tmp_path, age=[*[25.0] * 6, 95.0, 96.0])
    assert run_predict(config_of(tmp_path, harmonized)) == 0
    (path,) = tmp_path.glob("logs/*/summary.json")
    (note,) = store.read_json(path)["notes"]
    assert note.startswith("2 people have a covariate beyond the range")
    assert "sub-66, sub-67" in note
    assert note in caplog.text


def test_the_age_of_people_left_as_they_are_is_not_said(
    harmonized, tmp_path, write_people
):
    new_table(write_people, tmp_path, site=["Z"] * 8, age=[*[25.0] * 6, 95.0, 96.0])
    config = config_of(tmp_path, harmonized)
    policy = HarmonizeConfig(unseen="identity")
    assert run_predict(replace(config, harmonize=policy)) == 0
    (path,) = tmp_path.glob("logs/*/summary.json")
    assert store.read_json(path)["notes"] == []


def test_predict_takes_no_harmonization_of_its_own(trained, harmonized, tmp_path):
    config = config_of(tmp_path, harmonized)
    with pytest.raises(ConfigError, match="--harmonize combat is for the group level"):
        run_predict(replace(config, harmonize=HarmonizeConfig(method="combat")))
    config = config_of(tmp_path, trained)
    with pytest.raises(ConfigError, match="was fitted without harmonization"):
        run_predict(replace(config, harmonize=HarmonizeConfig(unseen="batch")))
