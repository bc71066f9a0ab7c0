"""A model whose embeddings are harmonized, from the command to the page."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from bidsclf.config import (
    AnalysisConfig,
    CohortConfig,
    Config,
    FoldConfig,
    HarmonizeConfig,
    RunConfig,
)
from bidsclf.errors import ConfigError, InputError
from bidsclf.files import store
from bidsclf.models import fc
from bidsclf.models._base import Variant
from bidsclf.workflows.group import run_group
from bidsclf.workflows.predict import run_predict


class Toy:
    """A layer that learns the difference of class means, in two epochs."""

    def __init__(self, seed=0, device="cpu"):
        self.seed = seed

    def fit(self, x, y, valid=None, people=None):
        told = x[y == 1].mean(0) - x[y == 0].mean(0)
        others = np.random.default_rng(self.seed).normal(size=(x.shape[1], 2))
        self.w = np.column_stack([told, others]).astype(np.float32)
        return self

    def embed(self, x):
        return np.asarray(x) @ self.w

    def predict_score(self, x):
        return expit((np.asarray(x) @ self.w[:, 0]).astype(float))

    def notes(self):
        epochs = [
            {"epoch": n, "train": {"loss": 1 / n}, "valid": {"loss": 0.7}}
            for n in (1, 2)
        ]
        return {"epoch": 2, "monitor": "loss", "history": epochs}

    def save(self, folder):
        save_file({"w": self.w}, folder / "model.safetensors")
        return {"seed": self.seed}

    def load(self, folder, settings):
        self.w = load_file(folder / "model.safetensors")["w"]
        return self


@pytest.fixture(autouse=True, scope="module")
def toy():
    """``fc-toy``, an option like any other."""
    variant = Variant(
        input="fisherz", make=Toy, needs_valid=True, harmonize_at="embedding"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fc.VARIANTS, "fc-toy", variant)
        yield


def config_of(
    out, work, *, models=("fc-toy", "control-site"), n_refit=0, **changed
) -> Config:
    how = {
        "folds": FoldConfig(n_folds=3),
        "harmonize": HarmonizeConfig(method="combat"),
    }
    return Config(
        bids_dir=out,
        output_dir=out,
        level="group",
        cohort=CohortConfig(target="diagnosis", positive_label="autism"),
        analysis=AnalysisConfig(
            models=models,
            n_bootstrap=100,
            n_permutations=100,
            n_refit_permutations=n_refit,
        ),
        run=RunConfig(work_dir=work),
        **how | changed,
    )


@pytest.fixture(scope="module")
def trained(seam, tmp_path_factory) -> Path:
    """An analysis of forty people at two sites; for reading only."""
    root = tmp_path_factory.mktemp("embedding")
    out = Path(shutil.copytree(seam, root / "out"))
    assert run_group(config_of(out, root / "work", n_refit=20)) == 0
    return out


def analysis(out: Path) -> Path:
    return out / "derivatives" / "main"


def read(out: Path, name: str) -> pd.DataFrame:
    return store.read_table(analysis(out) / f"{name}.tsv", text=("site",))


def test_both_scores_of_everyone_and_what_follows_from_them(trained):
    rows = read(trained, "predictions")
    own = rows[rows["model"] == "fc-toy"]
    assert own["before"].between(0, 1).all()
    assert len(own) == 40
    assert set(own["harmonized"]) == {"site"}
    assert rows.loc[rows["model"] == "control-site", "before"].isna().all()
    table = read(trained, "embedding").set_index("metric")
    assert set(table["model"]) == {"fc-toy"}
    for stage, score in {"before": "before", "after": "score"}.items():
        expected = roc_auc_score(own["truth"], own[score])
        assert table.loc["auc", stage] == pytest.approx(expected)
    for name in ("predictions", "embedding", "learning"):
        words = store.read_json(analysis(trained) / f"{name}.json")
        here = read(trained, name)
        assert all(words[column]["Description"] != column for column in here)


def test_nothing_is_screened_where_only_embeddings_are_harmonized(trained):
    assert not (analysis(trained) / "sites.tsv").exists()


def test_each_member_has_its_learning_curve(trained):
    table = read(trained, "learning")
    assert sorted(table["member"].unique()) == [1, 2, 3]
    assert len(table) == 3 * 3 * 2
    assert table["kept"].sum() == 9


def test_the_page_tells_before_and_after(trained):
    page = (analysis(trained) / "report.html").read_text()
    assert "Embeddings before and after" in page
    methods = (analysis(trained) / "methods.md").read_text()
    assert "removed from the embeddings of fc-toy by ComBat" in methods
    assert "three parts" in methods
    harmonization = (analysis(trained) / "harmonization.html").read_text()
    assert "The embeddings of fc-toy were harmonized with combat." in page
    assert "fc-toy" in harmonization


def test_refits_are_scored(trained):
    nulls = read(trained, "nulls")
    assert (nulls["model"] == "fc-toy").sum() == 20


def test_an_analysis_that_stands_is_not_done_again(trained, tmp_path):
    head = analysis(trained) / "models" / "fc-toy" / "final" / "member-3"
    before = (head / "head.safetensors").stat().st_mtime_ns
    assert run_group(config_of(trained, tmp_path, n_refit=20)) == 0
    assert (head / "head.safetensors").stat().st_mtime_ns == before


def test_new_people_are_scored_by_the_members(trained, write_people, tmp_path):
    write_people(tmp_path, [f"{n}" for n in range(60, 68)], seed=4)
    bundle = analysis(trained) / "models" / "fc-toy" / "final"
    config = Config(
        bids_dir=tmp_path,
        output_dir=tmp_path,
        level="predict",
        model=bundle,
        analysis=AnalysisConfig(analysis_id="new"),
        run=RunConfig(work_dir=tmp_path / "work"),
    )
    assert run_predict(config) == 0
    path = tmp_path / "derivatives" / "new" / "predictions.tsv"
    found = store.read_table(path)
    assert found["score"].between(0, 1).all()
    assert set(found["harmonized"]) == {"site"}
    people = store.read_table(tmp_path / "participants.tsv", text=("site",))
    far = people.assign(site="far")
    store.write_table(tmp_path / "participants.tsv", far)
    again = replace(config, run=replace(config.run, force=True))
    with pytest.raises(InputError, match="site 'far'"):
        run_predict(again)
    for policy in ("identity", "batch"):
        how = replace(again, harmonize=HarmonizeConfig(unseen=policy))
        assert run_predict(how) == 0
        assert set(store.read_table(path)["harmonized"]) == {policy}


def test_a_site_too_small_for_the_parts_is_refused_before_anything(people, tmp_path):
    table = store.read_table(people / "participants.tsv", text=("site",))
    table.loc[:5, "site"] = "tiny"
    store.write_table(people / "participants.tsv", table)
    found = r"repeat 1, fold 1: \d at tiny to learn from.*fc-toy.* 6 or more a site"
    with pytest.raises(InputError, match=found):
        run_group(config_of(people, tmp_path))
    how = HarmonizeConfig(method="combat", unseen="identity")
    dry = RunConfig(work_dir=tmp_path, dry_run=True)
    assert run_group(replace(config_of(people, tmp_path, harmonize=how), run=dry)) == 0


def test_harmonization_that_acts_on_no_model_is_refused_still(people, tmp_path):
    with pytest.raises(ConfigError, match="acts on none of --models control-site"):
        run_group(config_of(people, tmp_path, models=("control-site",)))
