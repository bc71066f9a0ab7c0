"""What methods.md and the card say of volumes, by what the bundle holds of them."""

import re

import pytest

from bidsclf.files import store
from bidsclf.models._base import find, variants
from bidsclf.report.card import card_text
from bidsclf.report.methods import methods_text
from bidsclf.report.preparation import joined_runs, model_words
from bidsclf.report.tables import read_analysis
from bidsclf.report.verdict import Verdict

BOX = [[-73.0, -108.0, -73.0], [73.0, 74.0, 83.0]]
OURS = {
    "Strategy": "simple",
    "SmoothingFWHM": 0.0,
    "DummyScansAsked": "auto",
    "GridBoxMM": BOX,
    "VolumePick": "even",
    "VolumeLength": 10,
    "VolumeStandardization": "divided by the mean over brain and time",
}
MATLAB = {
    "Pipeline": "matfile",
    "Strategy": "none",
    "VolumeStandardization": "Divided by the mean over the mask and all volumes.",
}


def feature(made, **more):
    known = {
        "input": "volume",
        "space": "MNI152NLin2009cAsym",
        "grid": "12",
        "shape": [None, 12, 12, 12],
        "repetition_times_s": [13.44, 14.34],
        "preprocessing": made,
    }
    return {k: v for k, v in (known | more).items() if v is not None}


def texts(study, made, **more):
    """Return methods.md and the card of a study whose fc-svm read volumes."""
    store.write_json(
        study / "models" / "fc-svm" / "final" / "model.json",
        {"context": {"feature": feature(made, **more)}},
    )
    analysis = read_analysis(study)
    return methods_text(analysis), card_text(analysis, Verdict("Nothing."))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, r"Images in MNI152NLin2009cAsym, preprocessed with fMRIPrep \[\d\]"),
        ({}, r"box from \(-73, -108, -73\) to \(73, 74, 83\) mm \(that of the MNI152"),
        ({}, r"resized to 12 by 12 by 12 cells of 12\.2 by 15\.2 by 13\.0 mm"),
        ({}, "linear interpolation with antialiasing.*less than 50% of it"),
        ({}, "24 motion parameters, white matter, CSF"),
        ({}, "Images were not smoothed. No volume was censored"),
        ({}, "10 evenly spaced ones were taken: the middle of each"),
        ({}, "which cleaning removes, was put back, and the image divided by the mean"),
        ({}, r"Between two volumes taken lie 13\.44 to 14\.34 s\."),
        ({"GridBoxMM": [[-9, 0, 0], [9, 1, 1]]}, r"box from \(-9, 0, 0\) to .9, 1, 1. "
         "mm and resized"),
        ({"SmoothingFWHM": 6.0}, "by 6 mm FWHM.*nothing from outside the mask"),
        ({"VolumePick": "contiguous"}, "the 10 in the middle of the run were taken"),
        ({"VolumePick": "all", "VolumeLength": "all"}, "All volumes kept were taken"),
        ({"VolumePick": None}, "Which volumes of a run were taken is not recorded"),
        ({"VolumeStandardization": "z-score of each voxel over the volumes kept"},
         "Values are the z-score of each voxel over the volumes kept"),
        ({"VolumeStandardization": None}, "How values were scaled is not recorded"),
        ({"GridBoxMM": None}, "How the volumes of 12 by 12 by 12 cells in MNI152.* were"
         " made is not recorded"),
        ({"Pipeline": "cpac"}, "not made by bidsclf but by cpac"),
    ],
)  # fmt: skip
def test_volumes_are_told_as_they_were_made(own_study, changed, said):
    made = {k: v for k, v in (OURS | changed).items() if v is not None}
    text, _ = texts(own_study, made)
    assert re.search(said, text)
    assert text.count("## Images") == 1
    body, _, listed = text.partition("## References")
    cited = [int(n) for each in re.findall(r"\[([\d, ]+)\]", body)
             for n in each.split(", ")]  # fmt: skip
    assert list(dict.fromkeys(cited)) == list(range(1, max(cited) + 1))
    assert len(re.findall(r"^\d+\. ", listed, re.M)) == max(cited)
    assert "averaged over each region" not in text


def test_of_volumes_that_were_not_zscored_nothing_is_said_of_it(own_study):
    assert "z-score" not in texts(own_study, OURS)[0]


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ("34", "to the box of its own mask and resized to 12 by 12 by 12 cells"),
        ("0", "kept the grid of the files, 12 by 12 by 12 voxels"),
        (None, "Whether images were resized is not recorded"),
    ],
)
def test_images_of_matlab_files_are_told(own_study, grid, said):
    text, _ = texts(own_study, MATLAB, grid=grid, repetition_times_s=[])
    assert said in text
    assert ("antialiasing" in text) == (grid == "34")
    for words in (
        "How they were preprocessed before is not recorded",
        "outside the mask of a file were set to 0",
        "weighted by a Gaussian of sigma 1 voxel, and a scan that lacked 5% or more",
        "Each scan was divided by its mean over the mask and all volumes.",
        "removed no confounds, filtered and censored nothing",
        "The time between two volumes is not recorded.",
    ):
        assert words in text
    assert "fMRIPrep" not in text


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("individual", "nor is a template that they are aligned to"),
        ("MNI152NLin6Asym", "they are said to be aligned to MNI152NLin6Asym"),
    ],
)
def test_alignment_of_matlab_files_is_as_the_user_said(own_study, space, said):
    assert said in texts(own_study, MATLAB, space=space)[0]


def test_the_card_says_how_volumes_were_made(own_study):
    _, card = texts(own_study, OURS)
    assert (
        "volumes of 12 by 12 by 12 cells (10 of a run, evenly spaced; denoising"
        " strategy simple; divided by the mean over brain and time)" in card
    )
    assert (
        "(from matfile; all that are kept of a run; denoising strategy none; divided by"
        " the mean over the mask and all volumes)" in texts(own_study, MATLAB)[1]
    )
    _, card = texts(own_study, {}, shape=None)
    assert "volumes (how they were made is not recorded)" in card


def test_every_network_of_volumes_has_a_sentence_of_its_own():
    names = [name for name in variants() if find(name).input == "volume"]
    said = {name: model_words(name, feature(OURS)) for name in names}
    assert len(names) == 12
    assert len(set(said.values())) == len(names)
    for name, words in said.items():
        assert words.endswith(", on volumes of 12 by 12 by 12 cells."), name
    assert "mean over the volumes" in said["cnn3d"]
    assert "a GRU that" in said["cnn3d-gru"]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((), "Runs of a person were averaged."),
        (("fisherz", "motion"), "Runs of a person were averaged."),
        (("volume",), "The volumes of a person's runs follow one another."),
        (
            ("timeseries", "volume", "covariance"),
            "The time series and the volumes of a person's runs follow one another;"
            " edges were averaged over runs.",
        ),
    ],
)
def test_runs_are_joined_as_the_inputs_join_them(inputs, said):
    assert joined_runs({name: {"input": name} for name in inputs}) == said
