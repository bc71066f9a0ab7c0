"""One repetition time for all: in the cohort, in the fits, and for new people."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bidsclf.cohort import build_cohort, load_people
from bidsclf.config import AnalysisConfig, CohortConfig, Config, FoldConfig
from bidsclf.crossval import load_bundle
from bidsclf.errors import ConfigError, InputError
from bidsclf.files import store
from bidsclf.models import meanmlp
from bidsclf.models._base import prepared
from bidsclf.workflows import _graph, _preflight
from bidsclf.workflows.group import run_group
from bidsclf.workflows.predict import run_predict

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")
WORDS = ("meanmlp:n_epochs=2", "meanmlp:n_hidden=4")


@pytest.fixture(autouse=True, scope="module")
def no_page():
    """Draw no page: it is not looked at here, and takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_graph, "report", lambda run, place: None)
        yield


def say(out: Path, which: str, tr_s: float | None) -> None:
    """Let scans have another repetition time, or say none."""
    for path in out.rglob(f"{which}/func/*_timeseries.json"):
        said = store.read_json(path)
        said.pop("SamplingFrequency")
        clock = {} if tr_s is None else {"SamplingFrequency": 1 / tr_s}
        store.write_json(path, said | clock)


@pytest.fixture(scope="module")
def mixed(seam, tmp_path_factory):
    """Forty people, of whom those of twenty on have 3 s; for reading only."""
    out = Path(shutil.copytree(seam, tmp_path_factory.mktemp("mixed") / "out"))
    say(out, "sub-[23]?", 3.0)
    return out


def config_of(out, *, words=WORDS, models=("meanmlp",), tr_s=3.0, **cohort):
    return Config(
        bids_dir=out,
        output_dir=out,
        level="group",
        cohort=CohortConfig(resample_tr_s=tr_s, **cohort),
        folds=FoldConfig(n_folds=2),
        analysis=AnalysisConfig(
            models=models, settings=words, n_bootstrap=100, device="cpu"
        ),
    )


def test_the_series_alone_are_brought_to_one_repetition_time(mixed):
    plain = build_cohort(mixed, CohortConfig())
    one = build_cohort(mixed, CohortConfig(resample_tr_s=3.0))
    before, after = plain.load("timeseries"), one.load("timeseries")
    assert {len(series) for series in before} == {60}
    assert [len(series) for series in after] == [40] * 20 + [60] * 20
    for here, there in zip(before[20:], after[20:], strict=True):
        assert here.tobytes() == there.tobytes()
    np.testing.assert_array_equal(plain.load("fisherz"), one.load("fisherz"))
    assert plain.describe("timeseries")["repetition_times_s"] == [2.0, 3.0]
    assert one.describe("timeseries")["resample_tr_s"] == 3.0
    assert "resample_tr_s" not in one.describe("fisherz")


@pytest.mark.parametrize("load", [build_cohort, load_people])
def test_people_without_a_repetition_time_are_named(people, load):
    say(people, "sub-0[37]", None)
    assert len(load(people, CohortConfig()).people) == 40
    with pytest.raises(
        InputError, match=r"2 of 40 people .* SamplingFrequency .*: sub-03, sub-07; --r"
    ):
        load(people, CohortConfig(resample_tr_s=2.0))


def test_models_that_see_order_are_told_of_several_repetition_times(mixed, monkeypatch):
    cohort = build_cohort(mixed, CohortConfig())
    config = config_of(mixed, tr_s=None)
    assert not list(_preflight.notes(config, cohort))
    ordered = replace(meanmlp.VARIANTS["meanmlp"], sees_order=True)
    monkeypatch.setitem(meanmlp.VARIANTS, "meanmlp", ordered)
    (note,) = _preflight.notes(config, cohort)
    assert "meanmlp see the order" in note
    assert "2 repetition times: 20 of 2 s, 20 of 3 s" in note
    assert not list(_preflight.notes(config_of(mixed), cohort))


def test_resampling_that_changes_nothing_is_refused(mixed):
    with pytest.raises(ConfigError, match=r"--resample-tr is 3 and acts on none"):
        run_group(config_of(mixed, models=("fc-svm",), words=()))


def cut(out: Path, label: str, n_volumes: int) -> None:
    """Keep the first volumes of a person's series."""
    (path,) = out.rglob(f"{label}/func/*_timeseries.tsv")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: n_volumes + 1]))


@pytest.mark.parametrize(
    ("tr_s", "lengths"), [(None, [60, 60, 45]), (3.0, [40, 60, 45])]
)
def test_lengths_are_those_of_the_series_that_are_read(people, tr_s, lengths):
    say(people, "sub-2?", 3.0)
    cut(people, "sub-21", 45)
    cohort = build_cohort(people, CohortConfig(resample_tr_s=tr_s))
    found = cohort.lengths()
    assert found.tolist() == [len(series) for series in cohort.load("timeseries")]
    assert found[[0, 20, 21]].tolist() == lengths


def test_windows_longer_than_a_scan_are_refused_before_any_fit(people):
    cut(people, "sub-07", 24)
    cut(people, "sub-31", 29)
    words = ("lstm-d:window=30", "lstm-s:window=25")
    config = config_of(people, models=("lstm-d", "lstm-s"), words=words, tr_s=None)
    with pytest.raises(InputError) as caught:
        run_group(config)
    first, second = str(caught.value).splitlines()
    assert "lstm-d: 2 of 40 people" in first
    assert "fewer than the 30 volumes that it takes at once: sub-07, sub-31" in first
    assert "(the shortest has 24). Leave them out with --include, or take" in first
    assert first.endswith("--model-settings lstm-d:window=24.")
    assert "lstm-s: 1 of 40 people" in second
    assert not (people / "derivatives").exists()
    cohort = build_cohort(people, config.cohort)
    shorter = config_of(people, models=("lstm-d",), words=("lstm-d:window=24",))
    assert _preflight.check_lengths(shorter, cohort) is None
    bundle = {"variant": "lstm-d", "made_with": {"window": 24}}
    assert _preflight.check_window_of(bundle, cohort) is None
    bundle["made_with"] = {"window": 25}
    with pytest.raises(InputError, match=r"1 of 40 .*: sub-07 .* --participant-label"):
        _preflight.check_window_of(bundle, cohort)
    assert _preflight.check_window_of({"variant": "fc-svm"}, cohort) is None


def test_a_run_too_short_to_resample_is_refused_before_any_fit(people):
    cut(people, "sub-07", 1)
    with pytest.raises(InputError, match=r"sub-07.*_timeseries.tsv: 1 volumes; .* 3 "):
        run_group(config_of(people))
    assert not (people / "derivatives").exists()


@pytest.fixture(scope="module")
def fitted(mixed, tmp_path_factory):
    """A model of series at 3 s, and one of series as they are."""
    out = Path(shutil.copytree(mixed, tmp_path_factory.mktemp("fitted") / "out"))
    config = config_of(out, include="sex == 'M' or sex == 'F'")
    assert run_group(config) == 0
    own = replace(config.analysis, analysis_id="asis")
    cohort = replace(config.cohort, resample_tr_s=None)
    assert run_group(replace(config, analysis=own, cohort=cohort)) == 0
    return out


def predict(fitted, new, analysis, **cohort):
    config = Config(
        bids_dir=new,
        output_dir=new,
        level="predict",
        model=fitted / "derivatives" / analysis / "models" / "meanmlp" / "final",
        cohort=CohortConfig(**cohort),
        analysis=AnalysisConfig(analysis_id=f"new{analysis}", device="cpu"),
    )
    assert run_predict(config) == 0
    path = new / "derivatives" / f"new{analysis}" / "predictions.tsv"
    return config, store.read_table(path, text=("participant_id", "site"))


def test_new_people_are_read_as_those_of_the_model(fitted, write_people, tmp_path):
    write_people(tmp_path, ["80", "81"], seed=5)
    for analysis, tr_s in (("main", 3.0), ("asis", None)):
        config, found = predict(fitted, tmp_path, analysis)
        model, described = load_bundle(config.model)
        assert described["made_with"] == {"n_epochs": 2, "n_hidden": 4}
        assert described["context"]["feature"].get("resample_tr_s") == tr_s
        rows = load_people(tmp_path, CohortConfig(resample_tr_s=tr_s))
        x = prepared("meanmlp", rows.load("timeseries"))
        np.testing.assert_allclose(
            found["score"], model.model.predict_score(x), rtol=1e-5
        )


def test_new_people_of_another_repetition_time_are_noted(
    fitted, write_people, tmp_path, monkeypatch
):
    ordered = replace(meanmlp.VARIANTS["meanmlp"], sees_order=True)
    monkeypatch.setitem(meanmlp.VARIANTS, "meanmlp", ordered)
    write_people(tmp_path, ["80", "81"], seed=5)
    say(tmp_path, "sub-80", 0.72)

    def notes():
        path = max(
            tmp_path.glob("logs/*/summary.json"), key=lambda p: p.stat().st_ctime
        )
        return " ".join(store.read_json(path)["notes"])

    predict(fitted, tmp_path, "asis")
    assert "a repetition time of 0.72 s; the model was fitted on 2 s, 3 s" in notes()
    predict(fitted, tmp_path, "main")
    assert "repetition time" not in notes()
