"""The section on training: curves as the table has them, and words that follow them."""

import numpy as np
import pandas as pd
import pytest

from bidsclf.files import store
from bidsclf.report import figures
from bidsclf.report import learning as section
from bidsclf.report.group import group_page
from bidsclf.report.learning import learning
from bidsclf.report.tables import read_analysis


def words(analysis, model="lstm-dg"):
    [one] = [one for one in learning(analysis) if one["model"] == model]
    return " ".join(one["sentences"])


@pytest.fixture
def courses(monkeypatch):
    """Keep what is drawn, by model."""
    kept = {}

    def drawing(panels, epochs, title):
        kept[title] = (panels, epochs)
        return "<svg></svg>"

    monkeypatch.setattr(figures, "learning", drawing)
    return kept


def test_a_curve_is_the_mean_of_the_fits_within_its_band(told, courses):
    analysis = read_analysis(told)
    learning(analysis)
    table = analysis.table("learning")
    is_own = (table["model"] == "meanmlp") & (table["measure"] == "loss")
    wide = table[is_own].pivot(index="epoch", columns="fold", values="valid")
    course = courses["meanmlp"][0]["loss"]["validation"]
    np.testing.assert_allclose(course.mean, wide.mean(axis=1))
    np.testing.assert_allclose(course.low, np.percentile(wide, 10, axis=1))
    np.testing.assert_allclose(course.high, np.percentile(wide, 90, axis=1))
    assert (course.low < course.mean).all()


def test_every_fit_marks_the_epoch_it_kept(told, courses):
    learning(read_analysis(told))
    assert courses["lstm-dg"][1].tolist() == [8, 8, 8]
    assert courses["meanmlp"][1].tolist() == [4, 4, 4]


def test_a_measure_that_was_not_taken_has_no_curve(told, courses):
    learning(read_analysis(told))
    panels = courses["meanmlp"][0]
    assert list(panels) == ["loss", "accuracy", "AUC"]
    assert list(panels["AUC"]) == ["validation"]


def test_a_part_that_is_all_of_the_loss_is_drawn_once(changed, courses):
    learning(changed("learning", lambda table: table))
    assert "discriminative" not in courses["lstm-dg"][0]

    def other(table):
        is_part = table["measure"] == "discriminative"
        return table.assign(train=table["train"].where(~is_part, table["train"] / 2))

    learning(changed("learning", other))
    assert list(courses["lstm-dg"][0])[:2] == ["loss", "discriminative"]


def test_the_mean_ends_where_less_than_half_of_the_fits_run(changed, courses):
    analysis = changed("learning", lambda t: t[(t["fold"] == 1) | (t["epoch"] <= 5)])
    learning(analysis)
    assert courses["lstm-dg"][0]["loss"]["training"].epoch.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("undrawn")
def test_the_monitor_is_said(told):
    analysis = read_analysis(told)
    assert "All 3 fits ran all 8 epochs: nothing stopped training" in words(analysis)
    said = words(analysis, "meanmlp")
    assert "best by the loss in the validation part: 4 of 8 run, the median 4" in said


@pytest.mark.usefixtures("undrawn")
def test_a_part_of_the_loss_can_be_the_monitor(told):
    about = store.read_json(told / "analysis.json")
    for note in about["notes"]:
        note["notes"]["monitor"] = "generative"
    store.write_json(told / "analysis.json", about)
    assert "best by the generative part of the loss" in words(read_analysis(told))


def valid_loss(value):
    """Return a change of the validation loss, as a function of the epoch."""

    def change(table):
        is_loss = table["measure"].isin(["loss", "discriminative"])
        return table.assign(valid=table["valid"].where(~is_loss, value(table["epoch"])))

    return change


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda at: at, "in 3 of 3 fits the validation loss was lowest at the first"),
        (lambda at: 1 / at, "In 3 of 3 fits the validation loss was still at its low"),
        (lambda at: 1 + (at - 4) ** 2 / 16, "lowest at epoch 4 (median of 3 fits) and"
         " ends 100% above that"),
        (lambda at: (at - 4) ** 2 - 99, ""),  # below 0, as a cvae's may be
        (lambda at: np.nan * at, "validation loss is not known"),
    ],
)  # fmt: skip
def test_what_to_worry_about_follows_the_validation_loss(changed, loss, said):
    assert said in words(changed("learning", valid_loss(loss)), "meanmlp")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("train", "valid", "said"),
    [
        (0.98, 0.61, "accuracy is 0.98 in training and 0.61 in validation"),
        (0.51, 0.50, "training accuracy is 0.51: little was learned"),
        (0.70, 0.66, "Nothing in these curves is out of the ordinary."),
    ],
)
def test_accuracies_far_apart_or_at_chance_are_said(changed, train, valid, said):
    def change(table):
        is_accuracy = table["measure"] == "accuracy"
        table = table.assign(
            train=table["train"].where(~is_accuracy, train),
            valid=table["valid"].where(~is_accuracy, valid),
        )
        return valid_loss(lambda at: 1 + (at - 4) ** 2 / 1e4)(table)

    found = words(changed("learning", change), "meanmlp")
    assert said in found
    assert ("in validation:" in found) == (train - valid > section.GAP)


@pytest.mark.usefixtures("undrawn")
def test_one_fold_and_one_epoch_are_drawn(changed):
    analysis = changed("learning", lambda t: t[(t["fold"] == 1) & (t["epoch"] == 8)])
    assert "The fit ran all 8 epochs" in words(analysis)


@pytest.mark.usefixtures("undrawn")
def test_a_table_that_is_absent_or_damaged_leaves_the_page(told):
    (told / "learning.tsv").write_text("model\tepoch\nlstm-dg\t1\n", encoding="utf-8")
    group_page(told)
    text = (told / "report.html").read_text(encoding="utf-8")
    assert "How training went" not in text
    assert "learning.tsv has no column measure, repeat, fold" in text
    (told / "learning.tsv").write_text("", encoding="utf-8")
    assert list(read_analysis(told).unreadable) == ["learning"]
    (told / "learning.tsv").unlink()
    analysis = read_analysis(told)
    assert learning(analysis) is None
    assert not analysis.unreadable


def test_what_is_no_number_is_missing(changed, courses):
    def change(table):
        table = table.astype({"train": object})
        table.loc[table["epoch"] == 2, "train"] = "broken"
        return table

    learning(changed("learning", change))
    course = courses["lstm-dg"][0]["loss"]["training"]
    assert 2 not in course.epoch
    assert np.isfinite(course.mean).all()


def test_curves_of_one_epoch_are_a_dot():
    one = np.ones(1)
    course = figures.Course(one, one, one, one)
    drawn = figures.learning({"loss": {"training": course}}, one, "m & <b>")
    assert "m &amp; &lt;b&gt;" in drawn
    assert pd.notna(course.mean).all()
