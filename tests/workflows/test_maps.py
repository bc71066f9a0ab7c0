"""Maps of folds become images, each with a file that says what it is."""

from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch

from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.files.paths import map_file
from bidsclf.workflows import _explain, _maps

AFFINE = np.diag([5.0, 6.0, 5.0, 1.0])
AFFINE[:3, 3] = [-70, -100, -60]
DESCRIBED = {"input": "volume", "affine": AFFINE.tolist(), "space": "MNI152NLin6Asym"}
SHAPE = (6, 5, 4)


def fold(seed: int, at: tuple[int, int, int] = (4, 1, 2)) -> dict[str, np.ndarray]:
    """Return a fold's maps, which are largest at a voxel, and below 0 there."""
    rng = np.random.default_rng(seed)
    found = {"networks": np.array(1)}
    for name, n_people in (("gradient", 12), ("occlusion", 10)):
        signed = rng.normal(size=SHAPE) / 10
        signed[at] = -3 - seed
        signed[0] = 0  # outside the brain
        found |= {name: signed, f"{name}size": np.abs(signed)}
        found[f"{name}people"] = np.array(n_people)
    return found


def test_maps_are_the_mean_over_folds_where_the_feature_lies(tmp_path):
    folds = [fold(1), fold(2)]
    _maps.write(tmp_path, {"resnet3d-a-bilstm": folds}, DESCRIBED)
    names = {path.name for path in (tmp_path / "maps").glob("*.nii.gz")}
    labels = ("gradient", "gradientsize", "occlusion", "occlusionsize")
    assert names == {f"resnet3dabilstm_desc-{one}_map.nii.gz" for one in labels}
    for label in labels:
        image = nibabel.load(tmp_path / map_file("resnet3d-a-bilstm", label))
        np.testing.assert_array_equal(image.affine, AFFINE)
        mean = (folds[0][label] + folds[1][label]) / 2
        np.testing.assert_allclose(image.get_fdata(), mean, rtol=1e-6, atol=1e-6)


def test_a_sidecar_says_how_the_map_was_made_and_of_how_many(tmp_path):
    _maps.write(tmp_path, {"cnn3d": [fold(1), fold(2)]}, DESCRIBED)
    occlusion = store.read_json(tmp_path / "maps/cnn3d_desc-occlusion_map.json")
    told = {key: occlusion[key] for key in list(occlusion) if key != "Description"}
    assert told == {
        "Model": "cnn3d", "Method": "occlusion", "Units": "log odds",
        "NumberOfPeople": 20, "NumberOfFolds": 2, "NetworksPerFold": 1,
        "SkullStripped": True,
        "AveragePersonOf": "up to 50 people the fold learned from",
        "CubeVoxels": 3, "StrideVoxels": 2, "MostPeoplePerFold": 10,
        "Space": "MNI152NLin6Asym",
    }  # fmt: skip
    gradient = store.read_json(tmp_path / "maps/cnn3d_desc-gradientsize_map.json")
    assert gradient["NumberOfPeople"] == 24
    assert "summed within a cube around the voxel" in gradient["Description"]
    assert gradient["CubeVoxels"] == 3
    assert "StrideVoxels" not in gradient
    signed = store.read_json(tmp_path / "maps/cnn3d_desc-gradient_map.json")
    assert "cube" not in signed["Description"]
    assert "CubeVoxels" not in signed


def test_the_table_has_the_peak_in_mm_with_its_sign(tmp_path):
    table = _maps.write(tmp_path, {"cnn3d": [fold(1), fold(2)]}, DESCRIBED)
    assert list(table) == _explain.COLUMNS["maps"].split()
    assert table["method"].tolist() == ["gradient x input", "occlusion"]
    for row in table.to_dict("records"):
        assert (row["x"], row["y"], row["z"]) == (-50.0, -94.0, -50.0)
        assert row["size"] == 4.5
        assert 0.9 < row["correlation"] <= 1
    cube = np.s_[3:6, 0:3, 1:4]  # of a gradient the sum around, of which its size is
    around = np.mean([fold(seed)["gradient"][cube].sum() for seed in (1, 2)])
    np.testing.assert_allclose(table["signed"], [around, -4.5])


def test_a_cube_around_a_peak_ends_with_the_grid(tmp_path):
    one = fold(1, at=(5, 0, 3))
    table = _maps.write(tmp_path, {"cnn3d": [one]}, DESCRIBED)
    expected = one["gradient"][4:6, 0:2, 2:4].sum()
    np.testing.assert_allclose(table["signed"][0], expected)


def test_folds_that_look_elsewhere_are_not_alike(tmp_path):
    folds = [fold(1), fold(2, at=(2, 3, 1))]
    table = _maps.write(tmp_path, {"cnn3d": folds}, DESCRIBED)
    assert (table["correlation"].abs() < 0.3).all()
    one = _maps.write(tmp_path, {"cnn3d": folds[:1]}, DESCRIBED)
    assert one["correlation"].isna().all()


class Model:
    """A network of the mean image, whose log odds are a multiple of one voxel."""

    device = torch.device("cpu")

    def __init__(self, weight):
        self.weight = weight

    def samples(self, x):
        def batch(which):
            return (torch.as_tensor(x[which]),)

        return SimpleNamespace(person=np.arange(len(x)), batch=batch)

    def network(self, batch):
        odds = self.weight * batch[0][:, :, 2, 2, 2].mean(1)
        return torch.stack([0 * odds, odds], dim=1)


def test_a_cross_fitted_model_is_the_mean_of_its_networks_and_says_so(tmp_path):
    x = np.random.default_rng(0).normal(1, 0.1, (12, 3, 5, 5, 5)).astype(np.float32)
    one, three = (
        _maps.look([Model(w) for w in weights], x, 0 * x[:2], seed=0)
        for weights in ((1.0,), (2.0, -3.0, -2.0))
    )
    middle = x[:, :, 2, 2, 2].mean()
    np.testing.assert_allclose(one["gradient"][2, 2, 2], middle, rtol=1e-5)
    for name in ("gradient", "occlusion"):
        np.testing.assert_allclose(three[name], -one[name], atol=1e-6)
        size = one[f"{name}size"] * 7 / 3  # |2|, |-3| and |-2|
        np.testing.assert_allclose(three[f"{name}size"], size, atol=1e-6)
    assert (three["gradientpeople"], three["occlusionpeople"]) == (12, 10)
    for name, found in (("cnn3d", one), ("cnn4d", three)):
        _maps.write(tmp_path, {name: [found]}, DESCRIBED)
        about = store.read_json(tmp_path / f"maps/{name}_desc-gradient_map.json")
        assert about["NetworksPerFold"] == int(found["networks"])
        said = "before their embeddings are harmonized" in about["Description"]
        assert said == (name == "cnn4d")


def test_maps_of_before_go(tmp_path):
    _maps.write(tmp_path, {"cnn3d": [fold(1)]}, DESCRIBED)
    _maps.write(tmp_path, {"cnn4d": [fold(1)]}, DESCRIBED)
    assert not list((tmp_path / "maps").glob("cnn3d_*"))


def test_without_a_place_no_map_is_written(tmp_path):
    with pytest.raises(InputError, match="does not say where the voxels"):
        _maps.write(tmp_path, {"cnn3d": [fold(1)]}, {"input": "volume"})
