"""Every table of an analysis, and what becomes of the others if one fails."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bidsclf.cohort import build_cohort
from bidsclf.config import (
    AnalysisConfig,
    CohortConfig,
    Config,
    FoldConfig,
    HarmonizeConfig,
    RunConfig,
)
from bidsclf.crossval import Recipe, fit_fold
from bidsclf.errors import ConfigError, FitError, InputError
from bidsclf.evaluate.metrics import metrics_table
from bidsclf.evaluate.permutation import label_permutations
from bidsclf.files import store
from bidsclf.folds import Fold, make_folds
from bidsclf.models._base import find, prepared
from bidsclf.workflows import _analysis, _fits, _persons, _shared, _tables
from bidsclf.workflows.group import run_group

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")
TEXT = _analysis.TEXT
MODELS = ("fc-svm", "control-site")
N_REFITS = 20


def config_of(out, *, work=None, **parts):
    config = Config(
        bids_dir=out,
        output_dir=out,
        level="group",
        cohort=CohortConfig(covariates=("age", "sex")),
        folds=FoldConfig(n_folds=2),
        harmonize=HarmonizeConfig(method="combat"),
        analysis=AnalysisConfig(
            models=MODELS,
            n_bootstrap=100,
            n_permutations=100,
            n_refit_permutations=N_REFITS,
            device="cpu",
        ),
        run=RunConfig(work_dir=work),
    )
    return replace(config, **parts)


def summary(out):
    paths = sorted(out.glob("logs/*/summary.json"), key=lambda p: p.stat().st_mtime_ns)
    return store.read_json(paths[-1])


def states(out):
    return {unit["unit"]: unit["state"] for unit in summary(out)["units"]}


@pytest.fixture(scope="module")
def analysed(seam, tmp_path_factory):
    """An output with an analysis that has every table; for reading only."""
    out = tmp_path_factory.mktemp("analysed")
    assert run_group(replace(config_of(seam), output_dir=out)) == 0
    return out


def table(out, name):
    return store.read_table(out / f"derivatives/main/{name}.tsv", text=TEXT)


def test_every_table_is_there_and_every_column_is_explained(analysed):
    folder = analysed / "derivatives" / "main"
    names = {path.stem for path in folder.glob("*.tsv")}
    assert names == {
        "cohort", "folds", "traits", "predictions", "metrics", "comparisons",
        "permutations", "nulls", "calibration", "experiment", "roc", "confounds",
        "sites", "site_map", "qcfc", "attributions", "attribution_time", "patterns",
        "regions",
    }  # fmt: skip
    for name in names:
        described = store.read_json(folder / f"{name}.json")
        assert list(described) == list(table(analysed, name))
        known = {k: v["Description"] for k, v in described.items()}
        assert not [k for k, v in known.items() if v == k and name != "cohort"], name
    assert (folder / "models/fc-svm/final/harmonizer.safetensors").exists()
    assert not (folder / "models/control-site/final/harmonizer.safetensors").exists()


def test_predictions_say_what_was_done_to_each_person(analysed):
    predictions = table(analysed, "predictions")
    assert list(predictions) == [
        "participant_id", "site", "model", "repeat", "fold", "truth", "score",
        "probability", "harmonized",
    ]  # fmt: skip
    done = predictions.groupby("model")["harmonized"].unique()
    assert done["fc-svm"].tolist() == ["site"]
    assert done["control-site"].tolist() == ["none"]
    score, probability = predictions["score"], predictions["probability"]
    assert ((score > 0.5) == (probability > 0.5)).all()
    is_scaled = (score != probability).groupby(predictions["model"]).any()
    assert is_scaled.to_dict() == {"fc-svm": True, "control-site": False}


def test_metrics_can_be_computed_again_from_the_tables(analysed):
    people = table(analysed, "traits")
    assert {"age", "sex", "mean_fd", "n_volumes"} <= set(people)
    assert len(people) == 40
    again = metrics_table(
        table(analysed, "predictions"), people, n_bootstrap=100, seed=0
    )
    found = table(analysed, "metrics")
    np.testing.assert_allclose(found["estimate"], again["estimate"], rtol=1e-5)
    assert {"sex", "age band", "within site"} <= set(found["scope"])


def test_a_refit_p_value_follows_from_its_null(analysed):
    nulls, found = table(analysed, "nulls"), table(analysed, "permutations")
    assert nulls.groupby("model").size().tolist() == [N_REFITS] * 2
    predictions = table(analysed, "predictions")
    for model, rows in predictions.groupby("model"):
        observed = roc_auc_score(rows["truth"], rows["score"])
        line = found.query("model == @model and null == 'refit' and metric == 'auc'")
        np.testing.assert_allclose(line["observed"], observed, rtol=1e-6)
        null = nulls.loc[nulls["model"] == model, "auc"]
        expected = ((null >= observed - 1e-12).sum() + 1) / (N_REFITS + 1)
        np.testing.assert_allclose(line["p"], expected, rtol=1e-6)
    svm = found.query("model == 'fc-svm' and null == 'refit' and metric == 'auc'")
    assert svm["p"].item() == pytest.approx(1 / (N_REFITS + 1))


@pytest.mark.parametrize("model", MODELS)
def test_a_refit_is_of_the_labels_and_people_it_names(analysed, seam, model):
    """Fit again by hand for some permutations, each person beside their own label."""
    config = config_of(seam)
    cohort = build_cohort(seam, config.cohort)
    folds = make_folds(cohort.people, config.folds)
    y, site = cohort.people["y"].to_numpy(), cohort.people["site"]
    labels = label_permutations(y, _shared.cells_of(site, folds), n=N_REFITS, seed=0)
    x = prepared(model, cohort.load(find(model).input))
    recipe = Recipe(variant=model, harmonize=config.harmonize)
    nulls = table(analysed, "nulls").query("model == @model").set_index("permutation")
    for at in (0, 7):
        told, score, turned = labels[at].astype(int), np.empty(40), np.empty(40)
        for fold in folds:
            fit = fit_fold(x, told, cohort.rows, fold, recipe, traits=cohort.traits)
            score[fold.test], turned[fold.test[::-1]] = fit.scores, fit.scores
        expected = roc_auc_score(told, score)
        assert nulls.loc[at + 1, "auc"] == pytest.approx(expected, abs=1e-5)
        if model == "fc-svm":  # the test would see rows in another order
            assert abs(roc_auc_score(told, turned) - expected) > 0.01


def test_the_record_says_what_was_asked_and_what_ran_as_it_is(analysed):
    about = store.read_json(analysed / "derivatives/main/analysis.json")
    assert about["settings"]["harmonize"]["method"] == "combat"
    assert about["failed"] == about["failed_tables"] == {}
    assert any("not harmonized: control-site" in note for note in about["run_notes"])
    noted = {one["unit"]: one["notes"] for one in about["notes"]}
    assert set(noted["fc-svm_fold-01"]["harmonizer"]["sites"]) == {"A", "B"}
    text = next(analysed.glob("logs/*/CITATION.md")).read_text()
    assert "Johnson et al. (2007)" in text


@pytest.mark.parametrize("method", ["combat", "combat-gam", "covbat"])
def test_every_method_ends_in_its_pages(people, method):
    config = config_of(
        people,
        harmonize=HarmonizeConfig(method=method),
        analysis=AnalysisConfig(models=("fc-svm",), n_bootstrap=100, device="cpu"),
    )
    assert run_group(config) == 0
    folder = people / "derivatives/main"
    for name in ("report", "harmonization"):
        assert "<html" in (folder / f"{name}.html").read_text(encoding="utf-8")
    stages = table(people, "sites")["stage"]
    assert stages.tolist() == ["before", "after"]


def test_sites_left_out_with_a_policy_are_scored_and_said(people):
    config = config_of(
        people,
        folds=FoldConfig(scheme="loso"),
        harmonize=HarmonizeConfig(method="combat", unseen="batch"),
        cohort=CohortConfig(),
        analysis=AnalysisConfig(models=("fc-svm",), n_bootstrap=100, device="cpu"),
    )
    with pytest.raises(InputError, match=r"20 at . to learn from.*two sites"):
        run_group(config)  # two sites: one is left to learn from
    table = store.read_table(people / "participants.tsv", text=True)
    table.loc[table.index % 3 == 0, "site"] = "C"
    store.write_table(people / "participants.tsv", table)
    assert run_group(config) == 0
    predictions = store.read_table(
        people / "derivatives/main/predictions.tsv", text=TEXT
    )
    assert set(predictions["harmonized"]) == {"batch"}
    assert predictions["fold"].nunique() == 3


def test_a_bootstrap_keeps_its_draws_and_tests_those_not_drawn(people):
    config = config_of(
        people,
        folds=FoldConfig(scheme="bootstrap", n_repeats=3),
        harmonize=HarmonizeConfig(),
        cohort=CohortConfig(),
        analysis=AnalysisConfig(models=("fc-svm",), n_bootstrap=100, device="cpu"),
    )
    assert run_group(config) == 0
    folder = people / "derivatives/main"
    folds = store.read_table(folder / "folds.tsv", text=TEXT)
    predictions = store.read_table(folder / "predictions.tsv", text=TEXT)
    for repeat, rows in folds.groupby("repeat"):
        drawn = rows.loc[rows["part"] != "test", "participant_id"]
        tested = predictions.loc[predictions["repeat"] == repeat, "participant_id"]
        assert len(drawn) == 40
        assert drawn.duplicated().any()
        assert set(tested) == set(table_of_everyone(folder)) - set(drawn)
    experiment = store.read_table(folder / "experiment.tsv", text=TEXT)
    assert set(experiment["n_splits"]) == {3}
    assert [path.name for path in (folder / "models/fc-svm").iterdir()] == ["final"]
    assert "only one that is kept of a bootstrap" in (folder / "README.md").read_text()
    assert run_group(config) == 0
    assert set(states(people).values()) >= {"done before"}
    assert "done" not in {k: v for k, v in states(people).items() if "fold" in k}


def table_of_everyone(folder):
    return store.read_table(folder / "traits.tsv", text=TEXT)["participant_id"]


def test_a_table_that_fails_fails_alone_and_is_made_by_the_next_run(
    people, tmp_path, monkeypatch
):
    config = config_of(people, work=tmp_path / "work")

    def fails(predictions, traits):
        raise InputError("mean_fd is not a number.")

    monkeypatch.setattr(_tables, "confounds_table", fails)
    assert run_group(config) == 4
    folder = people / "derivatives/main"
    about = store.read_json(folder / "analysis.json")
    assert about["failed_tables"] == {"confounds": "mean_fd is not a number."}
    assert not (folder / "confounds.tsv").exists()
    assert (folder / "qcfc.tsv").exists()
    assert (folder / "report.html").exists()
    monkeypatch.undo()
    monkeypatch.setattr(_fits, "fit_fold", None)  # every fit is kept
    monkeypatch.setattr(_fits, "permute_fold", None)
    assert run_group(config) == 0
    ended = states(people)
    assert ended["fc-svm_fold-01"] == ended["fc-svm_fold-01_permute"] == "done before"
    assert ended["screen-fisherz-edges"] == "done before"
    assert ended["table-confounds"] == "done"
    assert (folder / "confounds.tsv").exists()


def test_a_model_whose_refits_fail_keeps_its_scores(people, monkeypatch):
    real = _fits.permute_fold

    def fails(x, labels, rows, fold, recipe, **more):
        if recipe.variant == "fc-svm" and fold.fold == 2:
            raise FitError("the loss is NaN.")
        return real(x, labels, rows, fold, recipe, **more)

    monkeypatch.setattr(_fits, "permute_fold", fails)
    assert run_group(config_of(people)) == 4
    about = store.read_json(people / "derivatives/main/analysis.json")
    assert about["failed"] == {}
    assert about["failed_tables"] == {"fc-svm_fold-02_permute": "the loss is NaN."}
    assert set(table(people, "nulls")["model"]) == {"control-site"}
    assert set(table(people, "metrics")["model"]) == set(MODELS)


def test_other_choices_of_harmonization_are_another_analysis(people, capsys):
    config = config_of(people, analysis=AnalysisConfig(models=("fc-svm",)))
    about = {"key": "k", "settings": _analysis.settings_of(config), "finished": "x"}
    store.write_json(people / "derivatives/main/analysis.json", about)
    other = replace(config, harmonize=HarmonizeConfig(method="covbat"))
    with pytest.raises(ConfigError, match="other settings"):
        run_group(other)
    dry = replace(other, run=RunConfig(dry_run=True, force=True))
    before = sorted(people.rglob("*"))
    assert run_group(dry) == 0
    said = capsys.readouterr().out
    assert "screen-fisherz-edges: to do" in said
    assert "harmonization.html" in said
    assert sorted(people.rglob("*")) == before


def test_people_are_told_apart_by_site_and_test_fold():
    nobody = np.empty(0, int)
    folds = [
        Fold(1, 1, np.array([2, 3]), nobody, np.array([0, 1])),
        Fold(1, 2, np.array([0, 1]), nobody, np.array([2, 3])),
        Fold(2, 1, np.array([1, 3]), nobody, np.array([0, 2])),
    ]
    cells = _shared.cells_of(["A", "B", "A", "A"], folds)
    assert cells.tolist() == ["A/1", "B/1", "A/2", "A/2"]


def test_traits_come_back_as_they_were():
    traits = pd.DataFrame(
        {"site": ["1", "A"], "age": [0.1 + 0.2, np.nan], "sex": ["M", None]}
    ).astype({"site": object, "sex": object})
    plain = {name: _shared.plain(traits[name]) for name in traits}
    again = _shared.traits_of({"traits": plain})
    pd.testing.assert_frame_equal(again, traits)


@pytest.mark.parametrize("is_fit_lost", [False, True])
def test_a_screening_that_fails_leaves_its_reason(people, monkeypatch, is_fit_lost):
    def fails(*given, **more):
        raise InputError("sex is 'other' in a row.")

    monkeypatch.setattr(_fits, "screened", fails)
    if is_fit_lost:
        real = _fits.fit_fold

        def fit(x, y, rows, fold, recipe, **more):
            if recipe.variant == "fc-svm":
                raise FitError("the loss is NaN.")
            return real(x, y, rows, fold, recipe, **more)

        monkeypatch.setattr(_fits, "fit_fold", fit)
    refits = AnalysisConfig(models=MODELS, n_bootstrap=100, device="cpu")
    assert run_group(config_of(people, analysis=refits)) == 4
    about = store.read_json(people / "derivatives/main/analysis.json")
    reason = {"screen-fisherz-edges": "sex is 'other' in a row."}
    assert about["failed_tables"] == reason
    assert list(about["failed"]) == (["fc-svm"] if is_fit_lost else [])


def test_people_with_the_same_features_are_named(people):
    for path in sorted((people / "sub-04" / "func").iterdir()):
        twin = people / "sub-09" / "func" / path.name.replace("sub-04", "sub-09")
        twin.write_bytes(path.read_bytes())
    analysis = AnalysisConfig(models=("fc-svm",), n_bootstrap=100, device="cpu")
    assert run_group(config_of(people, analysis=analysis)) == 0
    about = store.read_json(people / "derivatives/main/analysis.json")
    (note,) = [note for note in about["run_notes"] if "identical" in note]
    assert note.startswith("identical features: sub-04 and sub-09; they may be one")
    assert "--group-column" in note
    assert note in summary(people)["notes"]


def test_a_person_s_own_runs_and_a_family_may_be_alike():
    people = {"participant_id": ["a", "b", "c"], "rows": [0, 0, 1, 2], "traits": {}}
    assert not _persons.identical(people, [*"xxyz"])
    assert len(_persons.identical(people, [*"wxxz"])) == 1
    family = people | {"traits": {"group": [0, 0, 1]}}
    assert not _persons.identical(family, [*"wxxz"])
    (note,) = _persons.identical(family, [*"wxyx"])
    assert "a and c" in note
