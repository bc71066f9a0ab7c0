"""Atlases by name and by path, their names of regions, and what is refused."""

import json
from functools import partial

import nibabel as nib
import numpy as np
import pytest
from nilearn import datasets

from bidsclf.errors import ConfigError, InputError
from bidsclf.features import _atlas
from bidsclf.features._atlas import check_space, load_atlas, names
from bidsclf.features._regions import find_table, read_names, unique


def image(path, values, dtype=np.int16):
    nib.save(nib.Nifti1Image(np.asarray(values, dtype), np.eye(4)), path)
    return path


def labels(path, *present):
    values = np.zeros((3, 3, 3))
    values.flat[: len(present)] = present
    return image(path, values)


@pytest.mark.parametrize("name", ["aal", "aal3", "power264", "dosenbach160"])
def test_atlases_that_need_no_network(name):
    n_regions = {"aal": 116, "aal3": 166, "power264": 264, "dosenbach160": 160}[name]
    atlas = load_atlas(name)
    assert len(atlas.regions) == len(set(atlas.regions)) == n_regions
    assert atlas.name.isalnum()
    assert "doi:" in atlas.citation
    assert load_atlas(name).digest == atlas.digest


def test_spheres_are_nilearn_s_coordinates():
    for name, fetch in (
        ("power264", datasets.fetch_coords_power_2011),
        (
            "dosenbach160",
            partial(datasets.fetch_coords_dosenbach_2010, ordered_regions=False),
        ),
    ):
        rois, atlas = fetch().rois, load_atlas(name)
        want = np.stack([rois[axis] for axis in "xyz"], axis=1)
        np.testing.assert_array_equal(atlas.coords, want)
        assert atlas.radius_mm == 5


def test_every_entry_is_whole():
    for name in names():
        entry = json.loads((_atlas._folder() / f"{name}.json").read_text())
        assert entry["name"].isalnum()
        assert "doi:" in entry["citation"]
        assert entry["space"].startswith("MNI")
        if "fetch" in entry:
            assert hasattr(datasets, entry["fetch"])
        else:
            file = entry.get("image", entry.get("coords"))
            assert (_atlas._package(entry["package"]) / file).is_file()


def test_an_unknown_name_is_met_with_a_near_one():
    with pytest.raises(ConfigError, match=r"no atlas 'power246'.*'power264'.*path"):
        load_atlas("power246")


def test_no_network_says_what_to_do(monkeypatch):
    def offline(**kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "fetch_atlas_msdl", offline)
    with pytest.raises(InputError, match=r"msdl.*no route.*NILEARN_DATA.*--atlases"):
        load_atlas("msdl")


def test_a_fetched_atlas_takes_its_look_up_table(tmp_path, monkeypatch):
    path = labels(tmp_path / "x.nii.gz", 2, 5)
    pd = pytest.importorskip("pandas")
    lut = pd.DataFrame({"index": [0, 2, 5], "name": ["Background", "left", "right"]})
    monkeypatch.setattr(
        datasets,
        "fetch_atlas_schaefer_2018",
        lambda **_: {"maps": str(path), "lut": lut},
    )
    atlas = load_atlas("schaefer200")
    assert (atlas.regions, atlas.values) == (("left", "right"), (2, 5))
    assert (atlas.name, atlas.seg, atlas.scale) == ("Schaefer2018", "7n", "200")
    assert atlas.label == "Schaefer2018 7n 200"


def test_a_volume_of_a_4d_image_may_hold_the_labels(tmp_path, monkeypatch):
    values = np.zeros((2, 2, 2, 43))
    values[0, 0, 0, 19], values[1, 1, 1, 19], values[0, 1, 0, 18] = 1, 2, 9
    path = image(tmp_path / "tcorr.nii.gz", values)
    monkeypatch.setattr(
        datasets, "fetch_atlas_craddock_2012", lambda **_: {"maps": str(path)}
    )
    atlas = load_atlas("cc200")
    assert (atlas.kind, atlas.values, atlas.regions) == ("labels", (1, 2), ("1", "2"))


def test_names_of_bids_by_label(tmp_path):
    path = labels(
        tmp_path / "tpl-MNI152NLin6Asym_res-02_atlas-X_seg-7n_dseg.nii.gz", 1, 4
    )
    table = tmp_path / "tpl-MNI152NLin6Asym_atlas-X_seg-7n_dseg.tsv"
    table.write_text(
        "name\tindex\tcolor\nback\t0\tx\nright\t4\tx\nleft\t1\tx\nno\t9\tx\n"
    )
    atlas = load_atlas(str(path))
    assert atlas.regions == ("left", "right")
    assert (atlas.name, atlas.seg, atlas.space) == ("X", "7n", "MNI152NLin6Asym")


def test_a_label_the_table_lacks_is_named_by_its_value(tmp_path):
    path = labels(tmp_path / "Some_space-T1w.nii.gz", 1, 4, -2)
    (tmp_path / "Some.csv").write_text("0,null,,\n1,left pole,,\n")
    atlas = load_atlas(str(path))
    assert (atlas.values, atlas.regions) == ((-2, 1, 4), ("-2", "left pole", "4"))
    assert (atlas.name, atlas.space) == ("Some", "T1w")


def test_without_a_table_labels_are_the_names(tmp_path):
    assert load_atlas(str(labels(tmp_path / "a.nii", 3, 7))).regions == ("3", "7")


def test_maps_take_names_in_order(tmp_path):
    path = image(tmp_path / "maps.nii.gz", np.ones((2, 2, 2, 3)), np.float32)
    (tmp_path / "maps.txt").write_text("a b\nc d\na b\n")
    atlas = load_atlas(str(path))
    assert (atlas.kind, atlas.values) == ("maps", ())
    assert atlas.regions == ("a b_1", "c d", "a b_2")
    (tmp_path / "maps.txt").write_text("only\ntwo\n")
    with pytest.raises(InputError, match=r"3 regions, but its table has 2 names"):
        load_atlas(str(path))


def test_a_description_beside_it_is_read(tmp_path):
    path = labels(tmp_path / "atlas-X_dseg.nii.gz", 1)
    described = {"SpatialReference": "MNIColin27", "ReferencesAndLinks": ["one", "two"]}
    (tmp_path / "atlas-X_description.json").write_text(json.dumps(described))
    atlas = load_atlas(str(path))
    assert (atlas.space, atlas.citation) == ("MNIColin27", "one; two")


def test_the_digest_follows_labels_and_names(tmp_path):
    path = labels(tmp_path / "a.nii", 3, 7)
    before = load_atlas(str(path)).digest
    (tmp_path / "a.tsv").write_text("index\tname\n3\tx\n")
    named = load_atlas(str(path)).digest
    labels(path, 3, 7, 7)
    assert len({before, named, load_atlas(str(path)).digest}) == 3


def test_labels_stored_as_whole_floats_are_labels(tmp_path):
    path = image(tmp_path / "a.nii", np.full((2, 2, 2), [2, np.nan]), np.float32)
    assert load_atlas(str(path)).values == (2,)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((2, 2, 2), 0.5), r"label 0.5 is not a whole number.* 4D image"),
        (np.zeros((2, 2, 2)), r"every voxel is 0.* Give another"),
        (np.ones((2, 2, 2, 1, 2)), r"5D image"),
    ],
)
def test_what_is_no_atlas_is_refused(tmp_path, values, message):
    path = image(tmp_path / "a.nii.gz", values, np.float32)
    with pytest.raises(InputError, match=message):
        load_atlas(str(path))


def test_a_table_in_another_encoding_is_refused(tmp_path):
    path = labels(tmp_path / "a.nii", 1)
    (tmp_path / "a.tsv").write_bytes(
        "index\tname\n1\tcorps calleux é\n".encode("latin-1")
    )
    with pytest.raises(InputError, match=r"a\.tsv: byte \d+ is not UTF-8"):
        load_atlas(str(path))


def test_a_label_that_is_no_number_is_refused(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("1,left\ntwo,right\n")
    with pytest.raises(InputError, match=r"a\.csv: label 'two' is not a whole number"):
        read_names(table)


def test_the_nearest_table_wins(tmp_path):
    for name in ("A.csv", "A_x.csv", "B.csv", "Ab.csv"):
        (tmp_path / name).write_text("1,x\n")
    assert find_table(tmp_path / "A_x_res-2.nii.gz").name == "A_x.csv"
    assert find_table(tmp_path / "A-thr25_y.nii.gz").name == "A.csv"
    assert find_table(tmp_path / "C.nii.gz") is None


def test_unique_names_stay_unique():
    given = ["a", "a", "a_1", "b\n c", ""]
    made = unique(given)
    assert len(set(made)) == 5
    assert made[2:] == ("a_1", "b c", "unnamed")


@pytest.mark.parametrize(
    ("theirs", "ours", "note"),
    [
        ("MNI152NLin6Asym", "MNI152NLin6Asym", None),
        ("MNI152NLin6", "MNI152NLin6Asym", None),
        ("MNI152NLin6Asym", "MNI152NLin2009cAsym", "millimetres"),
        ("T1w", "T1w", None),
        (None, "T1w", "names no space"),
    ],
)
def test_spaces_that_fit(tmp_path, theirs, ours, note):
    name = f"A_space-{theirs}.nii" if theirs else "A.nii"
    said = check_space(load_atlas(str(labels(tmp_path / name, 1))), ours)
    assert said is None if note is None else note in said


@pytest.mark.parametrize("ours", ["T1w", "MNI152NLin6Asym"])
def test_native_and_template_do_not_mix(tmp_path, ours):
    other = {"T1w": "MNI152NLin6Asym", "MNI152NLin6Asym": "T1w"}[ours]
    atlas = load_atlas(str(labels(tmp_path / f"A_space-{other}.nii", 1)))
    with pytest.raises(InputError, match=rf"in space {other}, the image in {ours}"):
        check_space(atlas, ours)


def test_real_atlases_have_their_names(shared_data):
    folder = shared_data / "atlases"
    aal = load_atlas(str(folder / "AAL_space-MNI152NLin6_res-2x2x2.nii.gz"))
    assert (len(aal.regions), aal.regions[0]) == (116, "L_Precentral_gyrus")
    cc200 = load_atlas(str(folder / "CC200ROI_tcorr05_2level_all.nii"))
    assert cc200.values == tuple(range(1, 201))
