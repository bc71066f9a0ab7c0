"""People outside the study teach some models, and are never tested or studied."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from scipy.special import expit

from bidsclf.cohort import build_cohort, load_people, source_of
from bidsclf.config import AnalysisConfig, CohortConfig, Config, FoldConfig
from bidsclf.crossval import Recipe, fit_fold
from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.files import store
from bidsclf.folds import make_folds
from bidsclf.models import fc
from bidsclf.models._base import Variant
from bidsclf.models._rows import edges, load_rows, row_digests
from bidsclf.workflows import _analysis, _fits, _graph, _source
from bidsclf.workflows.group import run_group
from bidsclf.workflows.predict import run_predict

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")
STUDY = CohortConfig(include="number < 24", source="diagnosis == 'control'")
TEXT = ("participant_id", "site")


class Taught:
    """A nearest-mean classifier of edges, centred by the people met first."""

    def __init__(self, seed=0, device="cpu", gain=1.0, signs=(1, 1)):
        self.gain, self.centre = gain * signs[0], np.zeros(1, np.float32)

    def learn_from(self, x):
        self.centre = np.stack(list(x)).mean(axis=0)

    def fit(self, x, y, valid=None, people=None):
        rows = np.stack(list(x))
        self.weights = rows[y == 1].mean(axis=0) - rows[y == 0].mean(axis=0)
        return self

    def predict_score(self, x):
        rows = np.stack(list(x)) - self.centre
        return expit(self.gain * (rows @ self.weights).astype(np.float64))

    def notes(self):
        return {"was_taught": bool(self.centre.any())}

    def save(self, folder):
        arrays = {"centre": self.centre, "weights": self.weights}
        save_file(arrays, folder / "model.safetensors")
        return {}

    def load(self, folder, settings):
        found = load_file(folder / "model.safetensors")
        self.centre, self.weights = found["centre"], found["weights"]
        return self


VARIANT = Variant(
    input="fisherz",
    make=Taught,
    prepare=edges,
    source=True,
    settings={"gain": 1.0, "signs": (1, 1)},
)


@pytest.fixture(autouse=True, scope="module")
def toy():
    """A model that learns from people outside the study, found as others are.

    No page is drawn: it is not looked at here, and takes most of the time.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_graph, "report", lambda run, place: None)
        patch.setitem(fc.VARIANTS, "fc-taught", VARIANT)
        yield


def number(out: Path) -> pd.DataFrame:
    """Give the table a number a person, and a family of four."""
    people = pd.read_csv(out / "participants.tsv", sep="\t", dtype=str)
    people["number"] = np.arange(len(people))
    people["family"] = [f"f{n // 4}" for n in range(len(people))]
    people.to_csv(out / "participants.tsv", sep="\t", index=False)
    return people


@pytest.fixture(scope="module")
def forty(write_people, tmp_path_factory):
    """Forty people in turn control and patient; for reading only."""
    out = tmp_path_factory.mktemp("forty")
    write_people(out, [f"{n:02d}" for n in range(40)])
    number(out)
    return out


@pytest.fixture
def people(forty, tmp_path):
    return Path(shutil.copytree(forty, tmp_path / "out"))


def ids(cohort) -> list[int]:
    return [int(who.removeprefix("sub-")) for who in cohort.people["participant_id"]]


def source(out, inputs=("fisherz",), **changed):
    config = replace(STUDY, **changed)
    return source_of(out, config, build_cohort(out, config), inputs)


def test_the_source_is_whom_the_condition_takes_less_the_study(forty):
    found = source(forty)
    assert ids(found) == [*range(24, 40, 2)]
    assert (found.people["y"] == -1).all()
    assert found.labels == {}
    assert len(found.load("fisherz")) == 8
    assert set(found.excluded["reason"]) == {"studied"}
    assert len(found.excluded) == 12


conditions = st.one_of(
    st.sampled_from(["site == 'A'", "diagnosis == 'autism'", "number >= 0"]),
    st.integers(0, 45).map("number > {}".format),
    st.integers(2, 5).map("number % {} == 1".format),
)


@settings(max_examples=25)
@given(study=conditions, asked=conditions, group=st.sampled_from([None, "family"]))
def test_nobody_studied_nor_of_their_family_is_a_source(forty, study, asked, group):
    config = CohortConfig(include=study, source=asked, group_column=group)
    try:
        cohort = build_cohort(forty, config)
    except (InputError, NothingMatched):
        return
    told = pd.read_csv(forty / "participants.tsv", sep="\t").eval(asked)
    taken = {*np.flatnonzero(told)}
    barred = {*ids(cohort)}
    if group is not None:
        barred = {n for n in range(40) if n // 4 in {m // 4 for m in barred}}
    if taken - barred:
        assert {*ids(source_of(forty, config, cohort))} == taken - barred
        return
    with pytest.raises(NothingMatched, match="--source"):
        source_of(forty, config, cohort)


def test_who_lacks_what_is_taken_is_left_out_once_and_again(people):
    for path in (people / "sub-30").rglob("*stat-fisherz*_relmat.tsv"):
        path.unlink()
    found = source(people)
    assert ids(found) == [n for n in range(24, 40, 2) if n != 30]
    assert "no scan with fisherz" in set(found.excluded["reason"])
    assert found.notes[0].startswith("1 people are left out")
    taken = found.people["participant_id"].tolist()
    cohort = build_cohort(people, STUDY)
    again = source_of(people, STUDY, cohort, ["fisherz"], taken)
    assert again.people["participant_id"].tolist() == taken
    assert not again.notes  # the others are not looked at


def test_a_run_that_lacks_what_is_taken_is_not_prepared(people, tmp_path):
    folder = people / "sub-30" / "func"
    for path in list(folder.iterdir()):
        first = path.name.replace("task-rest_", "task-rest_run-1_")
        if "stat-mean" in path.name:  # the second run has a series alone
            shutil.copy(path, folder / first.replace("run-1", "run-2"))
        path.rename(folder / first)
    found = source(people)
    assert ids(found) == [*range(24, 40, 2)]
    assert "sub-30_task-rest_run-2" in found.notes[0]
    known = _source.described(found, people, ["fc-taught"])
    cohort = build_cohort(people, STUDY)
    rows = tmp_path / "rows" / "fisherz-edges"
    _source.prepare(rows, people, STUDY, cohort, known, "fc-taught")
    assert len(load_rows(_source.beside(rows))) == len(found.people)


def test_a_scan_of_someone_studied_is_no_source_under_another_name(people):
    for path in (people / "sub-02").rglob("*_relmat.tsv"):
        name = path.name.replace("sub-02", "sub-30")
        shutil.copy(path, people / "sub-30" / "func" / name)
    found = source(people)
    assert 30 not in ids(found)
    assert (
        found.excluded.query("participant_id == 'sub-30'")["reason"]
        .str.contains("features are those of someone studied")
        .all()
    )
    with pytest.raises(NothingMatched, match=r"--source 'number == 30'.*all 1 people"):
        source(people, source="number == 30")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("number > 99", "takes none of the 40 people in participants.tsv"),
        ("number < 5", r"'number < 5': none of 5 people can be used \(5: studied\)"),
    ],
)
def test_a_source_of_nobody_counts_why(forty, asked, message):
    with pytest.raises(NothingMatched, match=message):
        source(forty, source=asked)


def test_a_condition_that_cannot_be_read_names_its_option(forty):
    with pytest.raises(ConfigError, match="--source 'age <' cannot be read"):
        source(forty, source="age <")


def test_participant_labels_say_who_is_studied_not_who_teaches(forty):
    label = tuple(f"{n:02d}" for n in range(12))
    found = source(forty, include=None, participant_label=label)
    assert ids(found) == [*range(12, 40, 2)]


def test_features_made_otherwise_are_refused(people, write_people, tmp_path):
    for path in people.rglob("sub-3*/func/*.json"):
        said = store.read_json(path)
        store.write_json(path, said | {"HighPassHz": 0.01})
    with pytest.raises(InputError, match="preprocessed otherwise than the rest"):
        source(people)
    with pytest.raises(InputError, match=r"5 people are not those.*HighPassHz 0.01 ag"):
        source(people, source="number >= 30 and diagnosis == 'control'")
    shutil.rmtree(people / "sub-38")
    write_people(tmp_path / "x", ["38"], regions=tuple("abcdef"))
    shutil.copytree(tmp_path / "x" / "sub-38", people / "sub-38")
    with pytest.raises(InputError, match="6 regions against 6, or other names"):
        source(people, source="number == 38")


def test_a_model_without_source_is_told_of_nobody(forty):
    """And one with it learns from exactly these rows, once a fit."""
    cohort = build_cohort(forty, STUDY)
    x, y = edges(cohort.load("fisherz")), cohort.people["y"].to_numpy(int)
    fold, rows = make_folds(cohort.people, FoldConfig(n_folds=2))[0], cohort.rows
    given = edges(source(forty).load("fisherz"))
    other = edges(given.features + 1)
    for model, is_told in (("fc-taught", True), ("fc-svm", False)):
        scores = [
            fit_fold(x, y, rows, fold, Recipe(variant=model, source=one)).scores
            for one in (given, other, None)
        ]
        assert (scores[0] != scores[1]).all() == is_told
        assert np.array_equal(scores[1], scores[2]) != is_told


def config_of(out, models=("fc-taught", "fc-svm"), words=(), cohort=STUDY):
    return Config(
        bids_dir=out,
        output_dir=out,
        level="group",
        cohort=cohort,
        folds=FoldConfig(n_folds=2),
        analysis=AnalysisConfig(
            models=models, settings=words, n_bootstrap=100, device="cpu"
        ),
    )


@pytest.fixture(scope="module")
def analysed(forty, tmp_path_factory):
    """An analysis of twenty-four people, with eight that taught one model."""
    out = Path(shutil.copytree(forty, tmp_path_factory.mktemp("analysed") / "out"))
    assert run_group(config_of(out, words=("fc-taught:gain=3",))) == 0
    return out


def test_a_reviewer_sees_who_taught_and_with_which_settings(analysed):
    folder = analysed / "derivatives" / "main"
    taught = store.read_table(folder / "source.tsv", text=TEXT)
    assert list(taught) == ["participant_id", "site"]
    assert taught["participant_id"].tolist() == [f"sub-{n}" for n in range(24, 40, 2)]
    assert store.read_json(folder / "source.json").keys() == {*TEXT}
    tested = store.read_table(folder / "predictions.tsv", text=TEXT)
    assert not set(tested["participant_id"]) & set(taught["participant_id"])
    about = store.read_json(folder / "analysis.json")
    assert about["settings"]["analysis"]["settings"] == ["fc-taught:gain=3"]
    assert about["model_settings"] == {"fc-taught": {"gain": 3.0, "signs": [1, 1]}}
    assert all(one["notes"]["was_taught"] for one in about["notes"][:2])
    assert any("fc-taught learned first from 8 people" in n for n in about["run_notes"])
    bundle = store.read_json(folder / "models" / "fc-taught" / "final" / "model.json")
    assert bundle["made_with"] == {"gain": 3.0}
    parts = [one.get("part") for one in bundle["context"]["training"]]
    assert (parts.count("source"), parts.count(None)) == (8, 24)
    other = store.read_json(folder / "models" / "fc-svm" / "final" / "model.json")
    assert len(other["context"]["training"]) == 24


def predict_of(analysed, out, model="fc-taught", **cohort):
    return Config(
        bids_dir=analysed,
        output_dir=out,
        level="predict",
        model=analysed / "derivatives" / "main" / "models" / model / "final",
        cohort=CohortConfig(**cohort),
        analysis=AnalysisConfig(analysis_id="new", device="cpu"),
    )


def test_who_taught_is_not_predicted_by_the_model_they_taught(analysed, tmp_path):
    labels = ("25", "26", "27")
    config = predict_of(analysed, tmp_path, participant_label=labels)
    assert run_predict(config) == 4
    path = tmp_path / "derivatives" / "new" / "predictions.tsv"
    found = store.read_table(path, text=TEXT)
    assert found["participant_id"].tolist() == ["sub-25", "sub-27"]
    two = load_people(analysed, CohortConfig(participant_label=("25", "27")))
    rows = two.load("fisherz")
    bundle = load_file(config.model / "model.safetensors")
    expected = expit(3.0 * ((rows - bundle["centre"]) @ bundle["weights"]))
    np.testing.assert_allclose(found["score"], expected, rtol=1e-5)
    other = predict_of(analysed, tmp_path / "o", "fc-svm", participant_label=labels)
    assert run_predict(other) == 0


def test_a_renamed_teacher_is_known_by_the_features(analysed, people, tmp_path):
    row = load_people(people, CohortConfig(participant_label=("26",))).load("fisherz")
    described = store.read_json(
        analysed / "derivatives" / "main" / "models" / "fc-taught" / "final/model.json"
    )
    known = {one["digest"] for one in described["context"]["training"]}
    assert set(row_digests(row)) <= known


def test_a_teacher_s_row_changes_no_score_of_a_model_that_is_not_taught(
    analysed, people
):
    for path in people.rglob("sub-2[468]/func/*fisherz*.tsv"):
        matrix = store.read_series(path)
        store.write_matrix(path, 2 * matrix[0], matrix[1])
    assert run_group(config_of(people, words=("fc-taught:gain=3",))) == 0
    scores = [
        store.read_table(out / "derivatives/main/predictions.tsv", text=TEXT)
        for out in (analysed, people)
    ]
    is_taught = scores[0]["model"] == "fc-taught"
    same = scores[0]["score"] == scores[1]["score"]
    assert same[~is_taught].all()
    assert not same[is_taught].any()


def test_the_settings_are_part_of_what_an_analysis_is(analysed):
    with pytest.raises(ConfigError, match="made with other settings"):
        run_group(config_of(analysed, words=("fc-taught:gain=4",)))
    other = config_of(
        analysed,
        words=("fc-taught:gain=3",),
        cohort=replace(STUDY, source="number == 26"),
    )
    with pytest.raises(ConfigError, match="made with other settings"):
        run_group(other)


def test_what_explains_a_model_refits_nothing(analysed, tmp_path, monkeypatch):
    config = config_of(analysed, words=("fc-taught:gain=3",))
    (tmp_path / "yeo.nii.gz").touch()
    told = replace(
        config, interpret=replace(config.interpret, networks=tmp_path / "yeo.nii.gz")
    )

    def fails(*args, **more):
        raise AssertionError("fitted again")

    monkeypatch.setattr(_fits, "fit_fold", fails)
    about = analysed / "derivatives" / "main" / "analysis.json"
    before = store.read_json(about)
    assert before["interpret"] == {}
    assert run_group(told) == 0
    after = store.read_json(about)
    file = (tmp_path / "yeo.nii.gz").stat()
    assert after == before | {
        "explained_notes": after["explained_notes"],
        "interpret": {"networks": str(tmp_path / "yeo.nii.gz")},
        "interpret_files": {"networks": {"yeo.nii.gz": [0, file.st_mtime_ns]}},
    }
    assert not _analysis.note_interpretation(told)
    (tmp_path / "yeo.tsv").write_text("index\tname\n")  # its table, beside it
    assert _analysis.note_interpretation(told)
    (tmp_path / "yeo.nii.gz").write_text("another image of the same name")
    assert _analysis.note_interpretation(told)
    assert not _analysis.note_interpretation(told)
    by_folder = replace(told, interpret=replace(told.interpret, decoding_data=tmp_path))
    assert _analysis.note_interpretation(by_folder)
    assert not _analysis.note_interpretation(by_folder)
    (tmp_path / "data_vocabulary.txt").write_text("memory")
    assert _analysis.note_interpretation(by_folder)
    assert run_group(config) == 0
    assert store.read_json(about) == before
