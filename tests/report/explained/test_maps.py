"""The pictures of maps: what is drawn and said is what the files hold."""

import re

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image

from bidsclf.files import store
from bidsclf.files.paths import map_file
from bidsclf.report import figures
from bidsclf.report.explanation import NAME, explanation_page
from bidsclf.report.maps import volumes
from bidsclf.report.tables import read_analysis


@pytest.mark.usefixtures("undrawn")
def test_the_peak_is_told_with_its_direction_and_of_how_many(told):
    [one] = volumes(read_analysis(told))
    gradient, occlusion = one["maps"]
    assert gradient["sentence"] == (
        "Gradient x input: largest at 30, 14, 24 mm, where on average it speaks for"
        " autism (+0.0012 log odds). Of 40 tested people in 5 folds; the maps of two"
        " folds correlate by 0.71."
    )
    assert "it speaks for control (-0.31 log odds). Of 36" in occlusion["sentence"]
    assert occlusion["cubes"].startswith("Cubes of 3 voxels along each side, every 2")
    assert gradient["cubes"] == ""


def test_slices_go_through_the_peak_of_the_map_on_disk(told, monkeypatch):
    drawn = []

    def slices(values, affine, at, title, *, on_template, has_sides):
        assert has_sides
        drawn.append((values, affine, at, title, on_template))
        return "<svg></svg>"

    monkeypatch.setattr(figures, "slices", slices)
    volumes(read_analysis(told))
    assert [title.partition(",")[0] for *_, title, _ in drawn] == [
        "cnn3d: gradient x input", "cnn3d: occlusion",
    ]  # fmt: skip
    for values, affine, at, _, on_template in drawn:
        peak = np.unravel_index(values.argmax(), values.shape)
        np.testing.assert_allclose((affine @ [*peak, 1])[:3], at)
        assert on_template


@pytest.mark.parametrize("space", ["T1w", "individual"])
def test_other_spaces_have_no_template_and_perhaps_no_sides(told, monkeypatch, space):
    seen = []
    monkeypatch.setattr(
        figures, "slices", lambda *_, **how: seen.append(how) or "<svg/>"
    )
    path = told / map_file("cnn3d", "occlusionsize", ".json")
    store.write_json(path, {"Space": space})
    [one] = volumes(read_analysis(told))
    assert [how["on_template"] for how in seen] == [True, False]
    assert [how["has_sides"] for how in seen] == [True, space != "individual"]
    assert one["maps"][1]["cubes"] == ""
    said = one["maps"][1]["sentence"]
    assert ("left and right are not known" in said) == (space == "individual")
    assert ("largest in voxel 8, 8, 7 (from 0;" in said) == (space == "individual")
    assert ("largest at 30, 14, 24 mm" in said) == (space == "T1w")


@pytest.mark.parametrize("damage", ["absent", "cut", "no image"])
@pytest.mark.usefixtures("undrawn")
def test_a_damaged_map_is_said_and_the_other_drawn(told, damage):
    path = told / map_file("cnn3d", "gradientsize")
    if damage == "absent":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"text")
    analysis = read_analysis(told)
    gradient, occlusion = volumes(analysis)[0]["maps"]
    assert gradient["figure"] is None
    assert "cnn3d_desc-gradientsize_map.nii.gz is not readable" in gradient["fault"]
    assert occlusion["figure"]
    assert "is not readable" in explanation_page(analysis)[0].read_text("utf-8")


def test_the_page_shows_both_and_says_what_they_do_not_mean(drawn):
    text = (drawn / NAME).read_text(encoding="utf-8")
    assert "a place in colour need not differ between the groups" in text
    assert 'aria-label="cnn3d: gradient x input, log odds by cube"' in text
    assert 'aria-label="cnn3d: occlusion, log odds by cube"' in text
    names = {file.stem for file in (drawn / "figures").glob("*.svg")}
    assert {"map-cnn3d-gradient", "map-cnn3d-occlusion"} <= names


def test_analyses_of_volumes_alone_do_not_miss_regions(told):
    for name in ("attributions", "patterns", "influence", "regions"):
        (told / f"{name}.tsv").unlink()
    path, _ = explanation_page(read_analysis(told))
    text = path.read_text(encoding="utf-8")
    assert "Places: networks of volumes" in text
    assert "positions of regions" not in text


@pytest.mark.usefixtures("undrawn")
def test_a_map_of_nothing_is_said(told):
    path = told / map_file("cnn3d", "occlusionsize")
    Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)).to_filename(path)
    gradient, occlusion = volumes(read_analysis(told))[0]["maps"]
    assert gradient["figure"]
    assert occlusion["figure"] is None
    assert "is 0 everywhere" in occlusion["fault"]
    assert occlusion["sentence"] == (
        "Occlusion: 0 everywhere. Of 36 tested people in 5 folds; the maps of two folds"
        " correlate by 0.64."
    )


@pytest.mark.usefixtures("undrawn")
def test_a_map_without_a_peak_names_no_place(changed):
    analysis = changed("maps", lambda table: table.assign(size=0.0, signed=0.0))
    for made in volumes(analysis)[0]["maps"]:
        assert ": 0 everywhere. Of" in made["sentence"]
        assert "largest at" not in made["sentence"]


@pytest.mark.parametrize("sides", [True, False])
def test_a_map_needs_no_template_and_shows_where_it_is_cut(sides):
    values, affine = np.zeros((6, 6, 6)), np.diag([10.0, 10, 10, 1])
    values[2:5, 2:5, 2:5] = np.arange(1.0, 28).reshape(3, 3, 3)
    drawn = figures.slices(
        values, affine, (39.6, 40, 40), "a & b", on_template=False, has_sides=sides
    )
    assert 'aria-label="a &amp; b"' in drawn
    assert {"x=40", "y=40", "z=40"} <= set(re.findall(r"[xyz]=-?\d+", drawn))
    assert (">L<" in drawn) == (">R<" in drawn) == sides
