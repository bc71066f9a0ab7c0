"""What models look at, through a whole analysis: a network, and a linear model."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from nibabel import Nifti1Image

from bidsclf.config import Config, InterpretConfig
from bidsclf.crossval import Recipe, load_bundle
from bidsclf.errors import FitError
from bidsclf.files import store
from bidsclf.workflows import _fits
from bidsclf.workflows._jobs import Job
from bidsclf.workflows.group import run_group

SETTINGS = (
    *(
        f"lstm-dg:{word}"
        for word in ("n_epochs=2", "window=12", "n_communities=4", "per_person=2")
    ),
    "rsnlstm:n_epochs=1",
    "rsnlstm:units=3,2",
)


def states(out: Path) -> dict[str, str]:
    latest = max((out / "logs").iterdir(), key=lambda run: run.stat().st_mtime_ns)
    units = store.read_json(latest / "summary.json")["units"]
    return {unit["unit"]: unit["state"] for unit in units}


def config_of(seam: Path, out: Path, **interpret) -> Config:
    config = Config(bids_dir=seam, output_dir=out, level="group")
    return replace(
        config,
        analysis=replace(
            config.analysis,
            models=("fc-svm", "lstm-dg", "rsnlstm"),
            settings=SETTINGS,
        ),
        folds=replace(config.folds, n_folds=2),
        interpret=InterpretConfig(**interpret),
    )


@pytest.fixture(scope="module")
def seam(write_people, tmp_path_factory):
    """Scans of seven lengths."""
    out = tmp_path_factory.mktemp("uneven")
    write_people(out, [f"{n:02d}" for n in range(32)], spread=7)
    return out


@pytest.fixture(scope="module")
def analysed(seam, tmp_path_factory):
    out = tmp_path_factory.mktemp("explained")
    assert run_group(config_of(seam, out)) == 0
    return out


def table(out: Path, name: str) -> pd.DataFrame:
    return store.read_table(out / "derivatives/main" / f"{name}.tsv")


def test_every_epoch_of_every_fold_is_in_the_record(analysed):
    learning = table(analysed, "learning")
    assert set(learning["model"]) == {"lstm-dg", "rsnlstm"}
    learning = learning[learning["model"] == "lstm-dg"]
    counts = learning.groupby(["fold", "epoch"]).size()
    assert set(counts.index) == {(fold, epoch) for fold in (1, 2) for epoch in (1, 2)}
    kept = learning[learning["kept"] == 1].groupby("fold")["epoch"].unique()
    assert all(len(epochs) == 1 for epochs in kept)


def test_communities_are_the_weights_of_the_bundles(analysed):
    communities = table(analysed, "communities")
    for fold, name in enumerate(("final", "fold-01", "fold-02")):
        bundle = analysed / "derivatives/main/models/lstm-dg" / name
        network = load_bundle(bundle)[0].model.network
        own = communities[communities["fold"] == fold]
        wide = own.pivot(index="region", columns="community", values="weight")
        wide = wide.loc[own["region"].unique()]
        weights = network.generator.weight.detach().numpy()
        np.testing.assert_allclose(wide, weights, rtol=1e-5, atol=1e-7)
    assert len(table(analysed, "influence")) == 3 * 4


def test_robustness_stands_beside_the_tensor_s(analysed):
    robustness = table(analysed, "robustness")
    assert set(robustness["method"]) == {"lstm-dg", "parafac"}
    compared = robustness[robustness["fold"] == 2]
    assert compared["correlation"].between(-1, 1).all()
    assert compared["dice"].between(0, 1).all()


def test_attributions_are_shares_of_regions_over_folds(analysed):
    attributions = table(analysed, "attributions")
    ways = attributions.groupby("model")["method"].unique().map(list).to_dict()
    gradients = {name: ["integrated gradients"] for name in ("lstm-dg", "rsnlstm")}
    assert ways == {"fc-svm": ["haufe"]} | gradients
    sums = attributions.groupby("model")["absolute"].sum()
    np.testing.assert_allclose(sums, 1, rtol=1e-6)
    assert set(attributions["n_folds"]) == {2}
    time = table(analysed, "attribution_time")
    assert set(time["model"]) == {"lstm-dg"}  # whole scans have no common time
    assert time["volume"].tolist() == list(range(1, 13))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FitError("the reason."), "the reason."),
        (KeyError("x"), "KeyError('x'). This is a fault of bidsclf: report it."),
    ],
    ids=repr,
)
def test_a_fold_that_cannot_be_explained_keeps_its_scores(
    monkeypatch, tmp_path, error, told
):
    found = SimpleNamespace(
        scores=np.array([0.1]), probabilities=np.array([0.2]),
        harmonized=np.array(["none"]), notes={"epoch": 3}, before=None,
        harmonizer=None,
    )  # fmt: skip
    job = Job(unit="u", model="lstm-dg", number=0, kind="fit", seed=0, device="cpu")
    path = _fits.scores_of(tmp_path, "u")

    def look(*given):
        assert store.read_json(path)["notes"] == {"epoch": 3}  # written before
        raise error

    shared = {"y": [0], "rows": [0]}
    for place, name, value in (
        (_fits, "_open_rows", None), (_fits, "fit_fold", found),
        (_fits, "_recipe", Recipe(variant="lstm-dg")), (_fits._shared, "read", shared),
        (_fits._shared, "fold_of", None), (_fits._shared, "traits_of", None),
    ):  # fmt: skip
        monkeypatch.setattr(place, name, lambda *_, value=value, **__: value)
    monkeypatch.setattr(_fits._explain, "look", look)
    stale = _fits._explain.keep(tmp_path, "u", {"signed": np.ones(2)})
    assert _fits.fit(tmp_path, job) == [path]
    kept = store.read_json(path)
    assert kept["score"] == [0.1]
    assert kept["notes"] == {"epoch": 3, "not_explained": told}
    assert not stale[0].exists()


def test_a_pattern_is_of_the_training_people_of_each_fold(analysed, seam):
    """Recomputed from the bundle and the matrices of the people of the fold."""
    folds, patterns = table(analysed, "folds"), table(analysed, "patterns")
    above = np.triu_indices(len(set(patterns["region_a"])) + 1, k=1)
    made = []
    for fold, own in folds[folds["part"] != "test"].groupby("fold"):
        bundle = analysed / f"derivatives/main/models/fc-svm/fold-0{fold}"
        weights = load_bundle(bundle)[0].model.weights
        files = [next(seam.glob(f"{who}/**/*fisherz*relmat.tsv"))
                 for who in sorted(set(own["participant_id"]))]  # fmt: skip
        edges = np.array([pd.read_csv(f, sep="\t").to_numpy()[above] for f in files])
        decisions = edges @ weights
        made.append(np.cov(edges.T, ddof=0) @ weights / decisions.std())
    np.testing.assert_allclose(patterns["pattern"], np.mean(made, axis=0), rtol=1e-4)


def test_an_atlas_given_later_places_regions_and_fits_nothing(analysed, seam, tmp_path):
    assert table(analysed, "regions")["x"].isna().all()
    about = store.read_json(analysed / "derivatives/main/analysis.json")
    assert "Positions of regions are not known" in about["explained_notes"][0]
    regions = table(analysed, "regions")["region"]
    labels = np.zeros((4, 4, 4), np.int16)
    labels.flat[: len(regions)] = range(1, len(regions) + 1)
    Nifti1Image(labels, 4 * np.eye(4)).to_filename(tmp_path / "atlas.nii")
    names = pd.DataFrame({"index": range(1, len(regions) + 1), "name": regions})
    names.to_csv(tmp_path / "atlas.tsv", sep="\t", index=False)
    config = config_of(seam, analysed, atlas_image=tmp_path / "atlas.nii")
    assert run_group(config) == 0
    ended = states(analysed)
    assert ended.pop("places") == ended.pop("report") == "done"
    assert set(ended.values()) == {"done before"}
    assert table(analysed, "regions")["x"].notna().all()
