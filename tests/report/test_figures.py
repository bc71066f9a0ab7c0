"""Figures: the same numbers give the same file, and names cannot break out."""

from xml.etree import ElementTree

import numpy as np
import pytest

from bidsclf.report import figures

RNG = np.random.default_rng(0)
KEPT = np.array([False, True, True, False, True, True])
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
