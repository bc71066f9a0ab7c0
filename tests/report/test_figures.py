"""Figures: the same numbers give the same file, and names cannot break out."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from bidsclf.report import figures

RNG = np.random.default_rng(0)
KEPT = np.array([False, True, True, False, True, True])
GRID = np.linspace(0, 1, 11)
BANDS = ("median", "mean", "sd", "p2_5", "p16", "p84", "p97_5")
CURVE = figures.Curve(*np.array([[0.2, 0.8], [0.3, 0.7], [0.1, 0.5], [0.5, 0.9]]))
POINTS = RNG.normal(size=(70, 2))
SITES = np.array([f"site{at % 35:02d}" for at in range(70)])
DRAWN = {
    "motion": lambda: figures.motion(
        np.array([np.nan, 0.1, 0.2, 0.9, 0.1, 0.0]),
        KEPT,
        n_dummies=1,
        threshold_mm=0.5,
    ),
    "carpet": lambda: figures.carpet(np.arange(12.0).reshape(4, 3), KEPT),
    "matrix": lambda: figures.matrix(np.eye(3)),
    "coverage": lambda: figures.coverage(np.array([0.1, 1.0, 0.7]), 0.5),
    "roc": lambda: figures.roc({"fc-svm": (np.array([0, 1]), np.array([0, 1]), ".5")}),
    "forest": lambda: figures.forest([("fc-svm", 0.7, 0.6, 0.8)], "AUC"),
    "folds": lambda: figures.folds({"fc-svm": [0.5, np.nan], "empty": []}, "AUC"),
    "histogram": lambda: figures.histogram(
        np.array([0.6, 0.62, 0.7]), 0.5, (0.6, 0.7), "accuracy"
    ),
    "flat histogram": lambda: figures.histogram(
        np.array([0.6, np.nextafter(0.6, 1)]), 0.6, (0.6, 0.6), "accuracy"
    ),
    "roc_band": lambda: figures.roc_band(GRID, dict.fromkeys(BANDS, GRID), "ROC"),
    "reliability": lambda: figures.reliability(None, CURVE, "fc-svm"),
    "predictability": lambda: figures.predictability(
        [("edges, before", 0.8, 0.7, 0.9), ("edges, after", 0.2, 0.1, 0.3)], 0.3
    ),
    "site_map": lambda: figures.site_map([("before", POINTS)], [SITES]),
    "confusion": lambda: figures.confusion(np.array([[3, 1], [0, 0]]), ["a", "b"], "m"),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_well_formed_and_repeats_to_the_byte(name):
    drawn = DRAWN[name]()
    ElementTree.fromstring(drawn)
    assert drawn == DRAWN[name]()


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_scales_with_the_page_and_can_be_read_aloud(name):
    head = DRAWN[name]().partition(">")[0]
    assert "viewBox" in head
    assert 'aria-label="' in head
    assert " width=" not in head


def test_motion_tells_censored_volumes_from_dropped_ones():
    title = "1 of 6 volumes censored; 1 dropped at the start"
    assert title in DRAWN["motion"]()


def test_motion_says_when_nothing_was_censored():
    fd = np.array([np.nan, 5.0, 0.1])
    kept = np.array([False, True, True])
    drawn = figures.motion(fd, kept, n_dummies=1, threshold_mm=None)
    assert "nothing censored for motion; 1 dropped" in drawn


def test_labels_with_markup_stay_text():
    drawn = figures.confusion(np.eye(2, dtype=int), ["<b>", 'x"&'], "<i>")
    ElementTree.fromstring(drawn)
    assert "<b>" not in drawn


def test_the_carpet_leaves_censored_volumes_blank():
    blank = figures.carpet(np.zeros((4, 3)), KEPT)
    full = figures.carpet(np.zeros((6, 3)), np.ones(6, bool))
    assert blank != full


def test_a_map_names_its_sites_unless_they_are_too_many():
    few = np.array(["KKI", "NYU"] * 35)
    assert ">KKI<" in figures.site_map([("before", POINTS)], [few])
    assert ">site00<" not in DRAWN["site_map"]()


def test_sites_that_share_a_colour_differ_in_shape():
    def marks(names):
        keys = figures.site_map([("before", POINTS)], [np.array(names)])
        return set(
            re.findall(r'xlink:href="#(\w+)" x="\S+" y="\S+" style="([^"]+)"', keys)
        )

    eight = [f"s{at % 8}" for at in range(70)]
    twenty = [f"s{at % 20:02d}" for at in range(70)]
    assert len(marks(twenty)) > len(marks(eight))


def test_the_curve_before_calibration_is_drawn_apart():
    both = figures.reliability(CURVE, CURVE, "fc-svm")
    assert "score of the model" in both
    assert "score of the model" not in DRAWN["reliability"]()


def test_chance_stands_in_the_histogram():
    assert "chance 0.50" in DRAWN["histogram"]()


def test_a_dot_is_called_a_split_whatever_the_scheme():
    drawn = DRAWN["folds"]()
    assert "Each dot is a split" in drawn
    assert "fold" not in drawn
