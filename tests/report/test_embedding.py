"""The section on harmonized embeddings, and the curves of several networks."""

import pandas as pd
import pytest

from bidsclf.files import store
from bidsclf.report.embedding import embedded, embedding
from bidsclf.report.group import group_page
from bidsclf.report.learning import learning
from bidsclf.report.methods import methods_text
from bidsclf.report.tables import read_analysis


def write(folder, **row):
    """Write a table of one AUC, and scores before for meanmlp."""
    told = {"model": "meanmlp", "metric": "auc", "before": 0.6, "after": 0.7}
    told |= {"difference": 0.1, "low": 0.02, "high": 0.2, "n": 80}
    store.write_table(folder / "embedding.tsv", pd.DataFrame([told | row]))
    rows = store.read_table(folder / "predictions.tsv", text=("site",))
    before = rows["score"].where(rows["model"] == "meanmlp")
    store.write_table(folder / "predictions.tsv", rows.assign(before=before))
    return read_analysis(folder)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.02, 0.2, "harmonization: higher, by an interval that does not hold 0."),
        (-0.2, -0.1, "harmonization: lower, by an interval that does not hold 0."),
        (-0.1, 0.3, "harmonization; the interval of the difference holds 0."),
        (None, None, "harmonization; there are too few people to judge"),
    ],
)
def test_the_sentence_follows_the_interval(own_study, low, high, words):
    analysis = write(own_study, low=low, high=high)
    [said] = embedding(analysis)["sentences"]
    assert said.startswith("meanmlp: the AUC is 0.60 before and 0.70 after")
    assert words in said
    [row] = embedding(analysis)["table"].rows
    assert dict(row.cells)["people"] == "80"


def test_nothing_is_said_where_no_embedding_was_harmonized(drawn_study):
    analysis = read_analysis(drawn_study)
    assert embedding(analysis) is None
    assert embedded(analysis) == []
    page = (drawn_study / "report.html").read_text(encoding="utf-8")
    assert "Embeddings before and after" not in page
    assert "cross-fitted" not in methods_text(analysis)


def test_page_and_methods_tell_of_it(own_study):
    analysis = write(own_study)
    assert embedded(analysis) == ["meanmlp"]
    group_page(own_study)
    page = (own_study / "report.html").read_text(encoding="utf-8")
    assert "Embeddings before and after harmonization" in page
    text = methods_text(analysis)
    assert (
        "removed from the embeddings of meanmlp, and from the features of the other"
        " models, by ComBat"
    ) in text
    assert "dealt into three parts" in text


def test_the_curves_of_members_are_trainings_of_their_own(own_study):
    lines = [
        ("meanmlp", 1, 1, member, epoch, "loss", 1 / epoch, 0.5 + 0.1 * member, kept)
        for member in (1, 2, 3)
        for epoch, kept in ((1, member == 1), (2, member > 1))
    ]
    names = [
        "model",
        "repeat",
        "fold",
        "member",
        "epoch",
        "measure",
        "train",
        "valid",
        "kept",
    ]
    table = pd.DataFrame(lines, columns=names).astype({"kept": int})
    store.write_table(own_study / "learning.tsv", table)
    [one] = learning(read_analysis(own_study))
    assert any("1 to 2 of 2 run, the median 2" in said for said in one["sentences"])
