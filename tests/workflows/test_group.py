"""The group level on people whose truth is known."""

import json
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bidsclf.config import AnalysisConfig, Config, FoldConfig, RunConfig
from bidsclf.errors import ConfigError, FitError, InputError
from bidsclf.evaluate.metrics import metrics_table
from bidsclf.files import store
from bidsclf.workflows import _fits, _run
from bidsclf.workflows.group import run_group

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")


def config_of(out, *, models=("fc-svm",), analysis_id="main", **run):
    return Config(
        bids_dir=out,
        output_dir=out,
        level="group",
        folds=FoldConfig(n_folds=3),
        analysis=AnalysisConfig(
            models=models, analysis_id=analysis_id, n_bootstrap=100, device="cpu"
        ),
        run=RunConfig(**run),
    )


def latest(out):
    paths = sorted(out.glob("logs/*/summary.json"), key=lambda p: p.stat().st_mtime_ns)
    return store.read_json(paths[-1])


def test_finds_the_planted_edge_and_each_number_can_be_recomputed(people):
    assert run_group(config_of(people), command="run.py x") == 0
    analysis = people / "derivatives" / "main"
    text = ("participant_id", "site")
    predictions = store.read_table(analysis / "predictions.tsv", text=text)
    assert len(predictions) == 40
    metrics = store.read_table(analysis / "metrics.tsv", text=("group",))
    people_known = store.read_table(analysis / "traits.tsv", text=text)
    again = metrics_table(predictions, people_known, n_bootstrap=100, seed=0)
    np.testing.assert_allclose(metrics["estimate"], again["estimate"], rtol=1e-5)
    auc = metrics.query("metric == 'auc' and scope == 'pooled'")["estimate"].iloc[0]
    assert auc > 0.9
    folds = store.read_table(analysis / "folds.tsv", text=text)
    tested = folds[folds["part"] == "test"].merge(predictions)
    assert len(tested) == 40
    about = store.read_json(analysis / "analysis.json")
    assert about["command"] == "run.py x"
    assert about["labels"] == {"0": "control", "1": "autism"}
    for table in analysis.glob("*.tsv"):
        assert set(store.read_json(table.with_suffix(".json"))) == set(
            pd.read_csv(table, sep="\t", nrows=1)
        )
    assert (analysis / "report.html").exists()
    assert (analysis / "models" / "fc-svm" / "final" / "model.json").exists()
    assert not list(people.rglob(".partial-*"))


def test_the_same_analysis_is_done_once_and_another_never_takes_its_place(people):
    assert run_group(config_of(people)) == 0
    before = (people / "derivatives/main/predictions.tsv").stat().st_mtime_ns
    assert run_group(config_of(people)) == 0
    assert latest(people)["units"][0]["state"] == "done before"
    other = config_of(people, models=("fc-svm-partial",))
    with pytest.raises(ConfigError, match=r"main holds an analysis.*other settings"):
        run_group(other)
    assert (people / "derivatives/main/predictions.tsv").stat().st_mtime_ns == before
    assert run_group(replace(other, run=RunConfig(force=True))) == 0


@pytest.mark.parametrize(
    "name", ["metrics.tsv", "predictions.tsv", "models/fc-svm/final/model.safetensors"]
)
def test_an_analysis_that_lost_a_file_is_not_done(people, name):
    assert run_group(config_of(people)) == 0
    lost = people / "derivatives" / "main" / name
    before = lost.read_bytes()
    lost.unlink()
    assert run_group(config_of(people)) == 0
    assert lost.read_bytes() == before


def test_a_dataset_of_another_program_is_never_written_to(people):
    folder = people / "derivatives" / "fmriprep"
    made = {"Name": "x", "GeneratedBy": [{"Name": "fMRIPrep"}]}
    store.write_json(folder / "dataset_description.json", made)
    before = sorted(folder.rglob("*"))
    config = config_of(people, analysis_id="fmriprep", force=True)
    with pytest.raises(
        ConfigError, match=r"--analysis-id fmriprep: .* bidsclf did not write"
    ):
        run_group(config)
    assert sorted(folder.rglob("*")) == before


def test_an_output_of_its_own_is_a_dataset(seam, tmp_path):
    config = replace(config_of(seam), output_dir=tmp_path)
    assert run_group(config) == 0
    made = store.read_json(tmp_path / "dataset_description.json")
    assert made["GeneratedBy"][0]["Name"] == "bidsclf"
    assert run_group(config) == 0
    assert {u["state"] for u in latest(tmp_path)["units"][:-1]} == {"done before"}


def test_nothing_more_is_fitted_after_a_failure_if_asked(people, monkeypatch):
    tried = []

    def fails(x, y, rows, fold, recipe, **more):
        tried.append(fold.fold)
        raise FitError("the loss is NaN.")

    monkeypatch.setattr(_fits, "fit_fold", fails)
    assert run_group(config_of(people, stop_on_first_crash=True)) == 4
    assert len(tried) == 1
    units = [u for u in latest(people)["units"] if u["unit"].startswith(("fc", "mer"))]
    messages = [unit["message"] for unit in units]
    assert messages == ["the loss is NaN.", *[_run.NOT_RUN] * 4]


def test_a_model_that_fails_leaves_the_others(people, monkeypatch):
    real = _fits.fit_fold

    def fails(x, y, rows, fold, recipe, **more):
        if recipe.variant == "fc-logistic" and fold.fold == 2:
            raise FitError("the loss is NaN.")
        return real(x, y, rows, fold, recipe, **more)

    monkeypatch.setattr(_fits, "fit_fold", fails)
    assert run_group(config_of(people, models=("fc-svm", "fc-logistic"))) == 4
    analysis = people / "derivatives" / "main"
    assert store.read_json(analysis / "analysis.json")["failed"] == {
        "fc-logistic": "the loss is NaN."
    }
    assert set(store.read_table(analysis / "metrics.tsv")["model"]) == {"fc-svm"}
    assert "the loss is NaN" in (analysis / "report.html").read_text()


def test_a_model_without_its_input_says_what_is_wrong_with_it(people):
    table = people / "participants.tsv"
    plain = store.read_table(table, text=True).drop(columns=["age", "sex"])
    store.write_table(table, plain)
    config = config_of(people, models=("fc-svm", "control-phenotype"))
    assert run_group(config) == 4
    failed = store.read_json(people / "derivatives/main/analysis.json")["failed"]
    assert list(failed) == ["control-phenotype"]
    assert "has no column age and none sex" in failed["control-phenotype"]
    assert "there are: participant_id, site, diagnosis." in failed["control-phenotype"]
    alone = config_of(people, models=("control-phenotype",), analysis_id="alone")
    assert run_group(alone) == 4
    failed = store.read_json(people / "derivatives/alone/analysis.json")["failed"]
    assert "has no column age" in failed["control-phenotype"]


def test_a_page_is_drawn_again_from_what_is_there(people, monkeypatch, capsys):
    again = config_of(people, reports_only=True)
    with pytest.raises(InputError, match=r"main has no cohort\.tsv.*no page"):
        run_group(again)
    assert run_group(config_of(people)) == 0
    page = people / "derivatives/main/report.html"
    before = page.read_text()
    page.unlink()
    monkeypatch.setattr(_fits, "fit_fold", None)  # nothing may be fitted
    assert run_group(config_of(people, reports_only=True, dry_run=True)) == 0
    assert "report.html" in capsys.readouterr().out
    assert not page.exists()
    assert run_group(again) == 0
    assert page.read_text() == before
    assert [unit["unit"] for unit in latest(people)["units"]] == ["report"]
    about = people / "derivatives/main/analysis.json"
    values = store.read_json(about)
    del values["finished"]
    store.write_json(about, values)
    with pytest.raises(InputError, match="is not finished"):
        run_group(again)


def test_cleaning_leaves_what_others_put_into_the_work_folder(people, tmp_path):
    work = tmp_path / "work"
    (work / "group-other").mkdir(parents=True)
    (work / "mine.txt").write_text("mine")
    assert run_group(config_of(people, work_dir=work, clean_workdir=True)) == 0
    assert {path.name for path in work.iterdir()} == {"group-other", "mine.txt"}
    new = tmp_path / "new"
    config = config_of(people, work_dir=new, clean_workdir=True, force=True)
    assert run_group(config) == 0
    assert not new.exists()


def test_a_bug_leaves_a_crash_file_and_the_others(people, monkeypatch):
    real = _fits.fit_fold

    def fails(x, y, rows, fold, recipe, **more):
        if recipe.variant == "fc-logistic":
            raise ZeroDivisionError("ours")
        return real(x, y, rows, fold, recipe, **more)

    monkeypatch.setattr(_fits, "fit_fold", fails)
    assert run_group(config_of(people, models=("fc-svm", "fc-logistic"))) == 1
    summary = latest(people)
    failed = [unit for unit in summary["units"] if unit["state"] == "failed"]
    assert len(failed) == 4
    assert "ZeroDivisionError: ours (see crash-" in failed[0]["message"]
    assert len(list(people.glob("logs/*/crash-*.txt"))) == 4
    assert (people / "derivatives/main/metrics.tsv").exists()


def test_a_report_that_fails_is_not_a_result_that_fails(people, monkeypatch):
    def fails(analysis):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("bidsclf.report.group.group_page", fails)
    assert run_group(config_of(people)) == 5
    assert (people / "derivatives/main/metrics.tsv").exists()


def test_an_interrupted_analysis_goes_on(people, tmp_path, monkeypatch):
    config = config_of(people, work_dir=tmp_path / "work")
    real, fitted = _fits.fit_fold, []

    def counts(x, y, rows, fold, recipe, **more):
        fitted.append(fold.fold)
        if len(fitted) == 3:
            signal.raise_signal(signal.SIGINT)
        return real(x, y, rows, fold, recipe, **more)

    monkeypatch.setattr(_fits, "fit_fold", counts)
    with pytest.raises(KeyboardInterrupt):
        run_group(config)
    assert (people / "derivatives/main/folds.tsv").exists()
    assert run_group(config) == 0
    assert len(fitted) == 3 + 2  # two were kept


def test_a_dry_run_writes_nothing(people, capsys):
    before = sorted(people.rglob("*"))
    assert run_group(config_of(people, dry_run=True)) == 0
    said = capsys.readouterr().out
    assert "40 people (20 control, 20 autism), 0 excluded" in said
    assert "fc-svm_fold-03: to do" in said
    assert "predictions.tsv" in said
    assert sorted(people.rglob("*")) == before


@pytest.mark.slow
def test_workers_give_the_numbers_of_one_process(people):
    assert run_group(config_of(people, analysis_id="one")) == 0
    assert run_group(config_of(people, analysis_id="two", nprocs=2)) == 0
    one, two = (
        (people / "derivatives" / name / "predictions.tsv").read_bytes()
        for name in ("one", "two")
    )
    assert one == two


def test_repeats_have_bundles_of_their_own(people):
    config = replace(config_of(people), folds=FoldConfig(n_folds=2, n_repeats=2))
    assert run_group(config) == 0
    folders = people / "derivatives/main/models/fc-svm"
    assert {path.name for path in folders.iterdir()} == {
        "final", *(f"repeat-0{r}_fold-0{f}" for r in (1, 2) for f in (1, 2)),
    }  # fmt: skip
    bundle = json.loads((folders / "repeat-01_fold-01/model.json").read_text())
    assert len(bundle["context"]["training"]) == 20
