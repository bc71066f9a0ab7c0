"""The ablation's section: what the best is worth, and what the paper says."""

import numpy as np
import pandas as pd
import pytest

from bidsclf.evaluate.ablation import ablation_table, chosen_elsewhere
from bidsclf.files import store
from bidsclf.report import ablation, figures
from bidsclf.report.group import group_page
from bidsclf.report.tables import read_analysis

NETWORKS = [f"resnet3d-{a}-{b}" for b in ("bilstm", "bigru") for a in "abcd"]


def with_models(folder, names):
    """Give the study's models other names, and the table that follows."""
    for table in ("predictions", "metrics", "comparisons"):
        rows = store.read_table(folder / f"{table}.tsv")
        for column in [name for name in rows if name.startswith("model")]:
            rows[column] = rows[column].replace(names)
        store.write_table(folder / f"{table}.tsv", rows)
    rows = store.read_table(folder / "predictions.tsv")
    store.write_table(folder / "ablation.tsv", ablation_table(rows))
    return folder


def with_networks(folder, networks=NETWORKS):
    """Give the study eight networks, a fold of 24 each, and keep its other models."""
    rng = np.random.default_rng(3)
    rows = store.read_table(folder / "predictions.tsv")
    one = rows[(rows["model"] == "meanmlp") & (rows["repeat"] == 1)]
    parts = [
        one.assign(model=name, score=rng.uniform(size=len(one)), repeat=1)
        for name in networks
    ]
    rest = rows[rows["repeat"] == 1]
    rows = pd.concat([rest, *parts], ignore_index=True).drop(columns="probability")
    store.write_table(folder / "predictions.tsv", rows)
    store.write_table(folder / "ablation.tsv", ablation_table(rows))
    return read_analysis(folder)


def cells(rows, key):
    return {dict(row.cells)[rows.columns[0]]: dict(row.cells)[key] for row in rows.rows}


def test_without_a_family_there_is_no_section(drawn_study, own_study):
    assert ablation.ablation(read_analysis(drawn_study)) is None
    assert "Ablation" not in (drawn_study / "report.html").read_text(encoding="utf-8")
    rows = store.read_table(own_study / "predictions.tsv")
    store.write_table(own_study / "ablation.tsv", ablation_table(rows))
    assert ablation.ablation(read_analysis(own_study)) is None


def test_the_page_says_what_the_best_is_worth(own_study, undrawn):
    with_models(own_study, {"meanmlp": "fc-logistic"})
    page = group_page(own_study).read_text(encoding="utf-8")
    rows = store.read_table(own_study / "predictions.tsv")
    members = ["fc-svm", "fc-logistic"]
    table = store.read_table(own_study / "ablation.tsv")
    worth, chosen = chosen_elsewhere(table, members)
    means = table.query("fold == 'mean'")
    best = means.set_index("model")["accuracy"]
    assert best.idxmax() == "fc-svm"
    assert "Ablation: the members of fc" in page
    assert (
        f"Best of 2: fc-svm, right for {100 * best.max():.0f} %; allowing for the"
        f" choice, {100 * worth:.0f} %" in page
    )
    assert f"in {100 * chosen['fc-svm']:.0f} % of folds it was fc-svm" in page
    truth = rows.drop_duplicates("participant_id")["truth"]
    share = 100 * max(truth.mean(), 1 - truth.mean())
    larger = "autism" if truth.mean() > 0.5 else "control"
    assert f"naming everyone “{larger}”, {share:.0f} %" in page
    assert "Beside the numbers of the paper" not in page


def test_members_that_tie_are_counted(own_study, undrawn):
    analysis = with_networks(own_study)
    table = analysis.tables["ablation"]
    table["accuracy"] = 0.5
    (told,) = ablation.ablation(analysis)
    assert "resnet3d-a-bilstm and 7 that tie, right for 50 %" in told["headline"]
    assert "for the choice, 50 %;" in told["headline"]


def test_a_bootstrap_allows_for_no_choice(own_study, undrawn):
    analysis = with_networks(own_study)
    table = analysis.tables["ablation"]
    is_fold = ~table["fold"].isin(("mean", "sd"))
    table.loc[is_fold, "fold"] = table.loc[is_fold, "fold"] + "/1"
    (told,) = ablation.ablation(analysis)
    assert "allowing for" not in told["headline"]
    assert "nan" not in " ".join([told["headline"], *told["sentences"]])


def test_the_eight_networks_stand_as_in_figures_1_to_4(own_study, monkeypatch):
    drawn = {}

    def bars(labels, heights, title, spreads=None):
        drawn[title] = (list(labels), heights, spreads)
        return "<svg></svg>"

    monkeypatch.setattr(figures, "bars", bars)
    analysis = with_networks(own_study)
    (told,) = ablation.ablation(analysis)
    means = analysis.tables["ablation"].query("fold == 'mean'").set_index("model")
    spread = analysis.tables["ablation"].query("fold == 'sd'").set_index("model")
    for title, last in (("resnet3d + BiLSTM", "bilstm"), ("resnet3d + BiGRU", "bigru")):
        names = [f"resnet3d-{a}-{last}" for a in "abcd"]
        labels, heights, spreads = drawn[title]
        assert labels == list("ABCD")
        for name in ("accuracy", "sensitivity", "specificity"):
            assert heights[name].tolist() == means.loc[names, name].tolist()
            assert spreads[name].tolist() == spread.loc[names, name].tolist()
        best = means.loc[names, "accuracy"].idxmax()
        labels, heights, spreads = drawn[f"{best}, fold by fold"]
        assert labels == [str(fold) for fold in range(1, 11)]
        assert spreads is None
        mean = means.loc[best, "specificity"]
        assert heights["specificity"].mean() == pytest.approx(mean)
    assert told["is_wide"]
    assert set(told["figures"]) == {
        "ablation-resnet3d-bilstm",
        "ablation-resnet3d-bigru",
    }


def test_the_paper_s_numbers_stand_beside_ours_with_what_is_wrong(own_study, undrawn):
    analysis = with_networks(own_study)
    (told,) = ablation.ablation(analysis)
    table, remark = told["paper"]["table"], told["paper"]["remark"]
    means = analysis.tables["ablation"].query("fold == 'mean'").set_index("model")
    mine = means.loc["resnet3d-c-bilstm"]
    for name, value in (("accuracy", "76.56"), ("specificity", "90.22")):
        key = "3D-ResNet C + BiLSTM, 5-fold"
        assert cells(table, f"{name}, paper")[key] == value
        assert cells(table, f"{name}, here")[key] == f"{100 * mine[name]:.2f}"
    assert cells(table, "accuracy, here")["Zou et al., 3D-CNN, hold-out"] == "n/a"
    assert "(80.16 + 90.22) / 2 = 85.19 for 3D-ResNet C + BiLSTM, not 76.56" in remark
    assert "(70.97 + 89.13) / 2 = 80.05 for 3D-ResNet C + BiGRU, not 71.25" in remark
    share = cells(table, told["paper"]["implied"])
    assert share["3D-ResNet C + BiLSTM, 5-fold"] == "136"
    assert share["Dai et al., multi-kernel, 10-fold"] == "36"


def test_other_models_of_the_paper_are_shown_once_fitted(own_study, undrawn):
    analysis = with_networks(own_study, [*NETWORKS[:2], "cnn3d-gru"])
    (told,) = ablation.ablation(analysis)
    found = cells(told["paper"]["table"], "accuracy, here")
    assert found["Niu et al., 3D-CNN + GRU, 5-fold"] != "n/a"
    assert found["3D-ResNet C + BiLSTM, 5-fold"] == "n/a"


def test_too_many_folds_are_not_drawn_one_by_one(own_study, undrawn):
    with_models(own_study, {"meanmlp": "fc-logistic"})
    path = own_study / "ablation.tsv"
    rows = store.read_table(path)
    more = [rows.assign(fold=rows["fold"] + f"/{i}") for i in (2, 3)]
    few = ablation.ablation(read_analysis(own_study))
    store.write_table(path, pd.concat([rows, *more], ignore_index=True))
    many = ablation.ablation(read_analysis(own_study))
    assert (list(few[0]["folds"]), list(many[0]["folds"])) == (
        ["ablation-folds-fc-svm"],
        [],
    )


@pytest.mark.parametrize("damage", ["no numbers", "no means", "no sd", "empty"])
def test_a_table_with_holes_breaks_no_page(own_study, undrawn, damage):
    with_models(own_study, {"meanmlp": "fc-logistic"})
    path = own_study / "ablation.tsv"
    rows = store.read_table(path)
    left = {
        "no numbers": rows.assign(accuracy="x"),
        "no means": rows[rows["fold"] != "mean"],
        "no sd": rows[rows["fold"] != "sd"],
        "empty": rows.head(0),
    }
    store.write_table(path, left[damage])
    page = group_page(own_study).read_text(encoding="utf-8")
    assert ("Ablation" in page) == (damage == "no sd")


def test_a_damaged_table_is_named_and_the_page_stands(own_study, undrawn):
    (own_study / "ablation.tsv").write_text("model\tfold\nfc-svm\t1\n")
    page = group_page(own_study).read_text(encoding="utf-8")
    assert "ablation.tsv has no column n, accuracy" in page


def test_bars_name_their_measures_and_write_percentages():
    values = {"accuracy": np.array([0.61, np.nan]), "sensitivity": np.array([1.0, 0.0])}
    drawn = figures.bars(["A", "B & <C>"], values, "a title", spreads=values)
    for word in (
        ">61<",
        ">100<",
        ">0<",
        "accuracy",
        "sensitivity",
        "B &amp; &lt;C&gt;",
    ):
        assert word in drawn
    assert drawn.count(">nan<") == 0
