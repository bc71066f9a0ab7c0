"""Where regions lie: on drawn images, and on real ones."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import center_of_mass

from bidsclf.errors import InputError
from bidsclf.features._atlas import load_atlas
from bidsclf.interpret.regions import (
    GRID_SHAPE,
    Parcels,
    centres,
    matched,
    parcels_of,
    place_regions,
)

AFFINE = np.array([[-4.0, 0, 0, 40], [0, 4, 0, -40], [0, 0, 4, -40], [0, 0, 0, 1]])


def draw(folder: Path, name: str, boxes: dict[int, slice], rows: str = "") -> Path:
    """Write an image of labels: a box of the first axis each, names beside it."""
    labels = np.zeros((20, 20, 20), np.int16)
    for value, box in boxes.items():
        labels[box, 5:10, 5:10] = value
    path = folder / f"{name}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(labels, AFFINE), path)
    if rows:
        path.with_name(f"{name}.csv").write_text(rows)
    return path


@pytest.fixture
def atlas(tmp_path) -> Path:
    boxes = {7: slice(0, 3), 3: slice(5, 10), 12: slice(12, 17)}
    return draw(tmp_path, "small", boxes, "3,left\n7,right\n12,far\n")


@pytest.fixture
def networks(tmp_path) -> Path:
    boxes = {1: slice(0, 8), 2: slice(8, 10)}
    return draw(tmp_path, "nets", boxes, "0,none\n1,visual\n2,default\n")


def test_a_region_has_its_centre_and_the_network_that_holds_most_of_it(atlas, networks):
    placed = place_regions(("far", "left", "right"), atlas=atlas, networks=networks)
    table = placed.table.set_index("region")
    assert placed.notes == ()
    assert table.loc["right", ["x", "y", "z"]].tolist() == [36, -12, -12]
    assert table.loc["left", "x"] == 40 - 4 * 7
    assert table["network"].tolist() == [None, "visual", "visual"]
    assert list(placed.table) == ["region", "x", "y", "z", "network"]


def test_a_network_that_only_touches_a_region_is_not_its_own(atlas, tmp_path):
    path = draw(tmp_path, "edge", {1: slice(0, 2)}, "0,none\n1,visual\n")
    labels = np.asarray(nibabel.load(path).dataobj).copy()
    labels[12, 5, 5:8] = 1  # 3 of 125 voxels of 'far'
    nibabel.save(nibabel.Nifti1Image(labels, AFFINE), path)
    placed = place_regions(("far", "right"), atlas=atlas, networks=path)
    assert placed.table["network"].tolist() == [None, "visual"]


def test_regions_without_names_are_found_by_label_value(atlas):
    placed = place_regions(("abc_12", "abc_3"), atlas=atlas, networks=None)
    named = place_regions(("far", "left"), atlas=atlas, networks=None)
    xyz = ["x", "y", "z"]
    np.testing.assert_array_equal(placed.table[xyz], named.table[xyz])


@pytest.mark.parametrize("regions", [("abc_3", "abc_4"), ("a_3", "b_7"), ("x", "y")])
def test_another_atlas_is_not_taken_for_this_one(atlas, regions):
    with pytest.raises(InputError, match=rf"{regions[0]}.*are not those of.*left"):
        matched(regions, load_atlas(str(atlas)))
    placed = place_regions(regions, atlas=atlas, networks=None)
    assert placed.table[["x", "y", "z"]].isna().all(axis=None)
    assert placed.parcels is None
    assert "--atlas-image" in placed.notes[0]


def test_a_region_that_is_absent_is_counted(atlas):
    placed = place_regions(("left", "pole"), atlas=atlas, networks=None)
    assert placed.table["x"].isna().tolist() == [False, True]
    assert "1 of 2 regions" in placed.notes[0]


@pytest.mark.parametrize(
    ("atlas_name", "said"), [(None, "--atlas-image"), ("cc200", "not installed")]
)
def test_what_is_missing_is_said_and_nothing_fails(atlas_name, said):
    placed = place_regions(("a", "b"), atlas=atlas_name, networks=None)
    assert said in placed.notes[0]
    assert len(placed.table) == 2


def test_networks_that_cannot_be_read_leave_the_positions(atlas, tmp_path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no image")
    placed = place_regions(("left",), atlas=atlas, networks=bad)
    assert placed.table["x"].notna().all()
    assert "Networks" in placed.notes[0]


@given(shift=st.tuples(*[st.integers(-20, 20)] * 3))
def test_centres_move_with_the_image(shift):
    labels = np.zeros((6, 6, 6), int)
    labels[1:4, 2, 2], labels[5, 0, :2] = 1, 2
    moved = AFFINE.copy()
    moved[:3, 3] += shift
    names = ("a", "b", "absent")
    before, after = (centres(Parcels(names, labels, a)) for a in (AFFINE, moved))
    np.testing.assert_allclose(after - before, [shift, shift, [np.nan] * 3])


def test_a_centre_lies_in_its_region_though_the_mean_does_not():
    labels = np.zeros((9, 3, 3), int)
    labels[[0, 8], 1, 1] = 1  # two hemispheres
    assert centres(Parcels(("a",), labels, np.eye(4)))[0, 0] in (0, 8)


def test_spheres_keep_their_centres_and_fill_their_radius():
    power = load_atlas("power264")
    placed = place_regions(power.regions[:3], atlas="Power264", networks=None)
    np.testing.assert_array_equal(placed.table[["x", "y", "z"]], power.coords[:3])
    grid = placed.parcels.on_grid(power.regions[:1])
    assert grid.shape == GRID_SHAPE
    assert 8 * grid.sum() == pytest.approx(4 / 3 * np.pi * 5**3, rel=0.15)


def test_maps_are_cut_at_half_their_maximum(tmp_path):
    maps = np.zeros((8, 8, 8, 2), np.float32)
    maps[2, 2, 2:6, 0] = [4, 3, 1, 0]
    maps[5, 5, 2:6, 1] = [0.1, 0.2, 0.2, 0]
    path = tmp_path / "maps.nii.gz"
    nibabel.save(nibabel.Nifti1Image(maps, AFFINE), path)
    parcels = parcels_of(("one", "two"), load_atlas(str(path)), (0, 1))
    assert np.argwhere(parcels.mask(["one"])).tolist() == [[2, 2, 2], [2, 2, 3]]
    assert parcels.mask(["two"]).sum() == 3


def test_a_coarse_atlas_leaves_no_holes_on_the_grid(atlas):
    found = load_atlas(str(atlas))
    parcels = parcels_of(("left",), found, (found.regions.index("left"),))
    assert parcels.on_grid(["left"]).sum() == 8 * parcels.mask(["left"]).sum()


# ---------------------------------------------------------------- real images


def real(shared_data: Path, name: str) -> Path:
    path = shared_data / "atlases" / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return path


YEO = "Yeo-7_space-MNI152NLin6_res-2x2x2.nii.gz"
CC200 = "CC200ROI_tcorr05_2level_all.nii"


def test_centres_are_near_the_centres_of_mass_of_scipy(shared_data):
    image = real(shared_data, CC200)
    regions = tuple(f"cc200_{value}" for value in range(1, 201))
    placed = place_regions(regions, atlas=image, networks=real(shared_data, YEO))
    loaded = nibabel.load(image)
    labels = np.asarray(loaded.dataobj)
    mass = center_of_mass(labels > 0, labels, range(1, 201))
    expected = nibabel.affines.apply_affine(loaded.affine, mass)
    off = np.linalg.norm(placed.table[["x", "y", "z"]] - expected, axis=1)
    assert np.median(off) < 4  # a voxel
    assert placed.notes == ()
    assert placed.table["network"].notna().sum() > 140


def test_series_of_near_regions_go_together(shared_data):
    """The label values are the columns of ABIDE: what is near is correlated."""
    folder = shared_data / "abide/Outputs/cpac/filt_global/rois_cc200"
    people = sorted(folder.glob("NYU*.1D"))[:5]
    if not people:
        pytest.skip(f"{folder} is absent")
    regions = tuple(f"cc200_{value}" for value in range(1, 201))
    table = place_regions(regions, atlas=real(shared_data, CC200), networks=None).table
    xyz = table[["x", "y", "z"]].to_numpy()
    far = np.linalg.norm(xyz[:, None] - xyz, axis=2)
    r = np.mean([np.corrcoef(np.loadtxt(one).T) for one in people], axis=0)
    pairs = np.triu_indices(200, 1)
    is_near = far[pairs] < 20
    assert r[pairs][is_near].mean() > r[pairs][~is_near].mean() + 0.3


def test_yeo_s_networks_are_where_anatomy_has_them(shared_data):
    regions = ("Calcarine_L", "Postcentral_R", "Cingulum_Post_L", "Thalamus_L")
    placed = place_regions(regions, atlas="AAL", networks=real(shared_data, YEO))
    names = [str(name) for name in placed.table["network"]]
    for name, part in zip(names, ("Visual", "Somato", "Default", "None"), strict=True):
        assert part in name


def test_networks_that_were_given_in_vain_are_said_to_be(tmp_path):
    networks = tmp_path / "yeo.nii.gz"
    placed = place_regions(["a", "b"], atlas=None, networks=networks)
    assert placed.notes[1] == f"Networks need positions, so {networks} was not used."
    assert len(place_regions(["a", "b"], atlas=None, networks=None).notes) == 1
