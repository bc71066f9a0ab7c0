"""The cautions under the verdict, and the pages' words on who was tested."""

import pytest

from bidsclf.files import store
from bidsclf.report.group import group_page
from bidsclf.report.harmonized import summary
from bidsclf.report.methods import methods_text
from bidsclf.report.tables import read_analysis
from bidsclf.report.verdict import judge


def changed(folder, **about):
    told = store.read_json(folder / "analysis.json") | about
    store.write_json(folder / "analysis.json", told)


def scheme(folder, name):
    about = store.read_json(folder / "analysis.json")
    about["settings"]["folds"]["scheme"] = name
    store.write_json(folder / "analysis.json", about)


def said(folder):
    return judge(read_analysis(folder)).sentences


def motion(folder, **cells):
    table = store.read_table(folder / "confounds.tsv")
    row = (table["model"] == "fc-svm") & (table["confound"] == "mean_fd")
    table.loc[row, list(cells)] = list(cells.values())
    store.write_table(folder / "confounds.tsv", table)


@pytest.mark.parametrize(
    ("r", "p", "warns"),
    [(0.38, 1e-9, True), (-0.38, 1e-9, True), (0.38, 0.2, False), (0.1, 1e-9, False)],
)
def test_a_score_that_goes_with_motion_is_warned_of(own_study, r, p, warns):
    motion(own_study, r_given_truth=r, p_holm=p)
    found = [word for word in said(own_study) if "head motion" in word]
    expected = f"Its score goes with head motion (r = {r:.2f} given the diagnosis)."
    assert found == [expected] * warns


def test_another_model_or_confound_is_no_caution_of_motion(own_study):
    table = store.read_table(own_study / "confounds.tsv")
    other = (table["model"] != "fc-svm") | (table["confound"] != "mean_fd")
    table.loc[other, ["r_given_truth", "p_holm"]] = [0.5, 1e-9]
    store.write_table(own_study / "confounds.tsv", table)
    assert not any("head motion" in word for word in said(own_study))


def test_a_mean_over_repeats_is_not_called_one_model(own_study):
    metrics = store.read_table(own_study / "metrics.tsv")
    rows = metrics.query("model == 'fc-svm' and scope == 'fold' and metric == 'auc'")
    mean = rows["estimate"].mean()
    (word,) = [word for word in said(own_study) if "one model alone" in word]
    assert "mean score of the 2 models" in word
    assert f"has {mean:.2f} on average" in word


def test_without_repeats_nothing_is_called_a_mean(own_study):
    for name in ("folds", "predictions"):
        table = store.read_table(own_study / f"{name}.tsv")
        store.write_table(own_study / f"{name}.tsv", table.query("repeat == 1"))
    assert not any("one model alone" in word for word in said(own_study))
    assert "averaged over" not in methods_text(read_analysis(own_study))


def test_refits_of_the_first_repeat_alone_say_so(own_study):
    (word,) = [word for word in said(own_study) if "Fitted again" in word]
    assert "repeat 1 alone" in word
    scheme(own_study, "bootstrap")
    (word,) = [word for word in said(own_study) if "Fitted again" in word]
    assert "round 1 alone" in word


@pytest.mark.usefixtures("undrawn")
def test_people_no_round_tested_are_not_counted_as_tested(own_study):
    table = store.read_table(own_study / "predictions.tsv")
    gone = {"sub-0000", "sub-0001"}
    once = (table["participant_id"] == "sub-0002") & (table["repeat"] == 1)
    kept = table[~table["participant_id"].isin(gone) & ~once]
    store.write_table(own_study / "predictions.tsv", kept)
    scheme(own_study, "bootstrap")
    group_page(own_study)
    page = (own_study / "report.html").read_text()
    methods = (own_study / "methods.md").read_text()
    card = (own_study / "model_card.md").read_text()
    words = "averaged over the rounds that did not draw them (1 to 2 a person, 2.0 on"
    assert "240 people, 116 of them “autism”, 4 sites; 238 people were tested." in page
    assert "We studied 240 people (238 were tested)" in methods
    assert "240 people studied, of whom 238 were tested" in card
    assert all(words in text for text in (page, methods, card))


@pytest.mark.usefixtures("undrawn")
def test_every_note_of_the_run_is_on_both_pages(own_study):
    same = "identical features: sub-0001 and sub-0002; check them."
    notes = {"fold_notes": ["a <fold>."], "run_notes": ["not harmonized: b.", same]}
    screened = {"fisherz-edges": ["site CMU was left out."]}
    changed(own_study, **notes, screening_notes=screened)
    group_page(own_study)
    told = ["a &lt;fold&gt;.", "not harmonized: b.", same]
    told.append("fisherz-edges: site CMU was left out.")
    for name in ("report.html", "harmonization.html"):
        text = (own_study / name).read_text()
        assert all(f"<li>{note}</li>" in text for note in told), name
    assert said(own_study)[-1] == f"I{same[1:]}"
    changed(own_study, run_notes=[same, same.replace("0002", "0003")])
    assert said(own_study)[-1].startswith("2 groups of people have identical")
    changed(own_study, run_notes=[])
    assert not any("identical" in word for word in said(own_study))


def harmonized(folder, value, site=None, model="fc-svm"):
    table = store.read_table(folder / "predictions.tsv")
    rows = table["model"] == model
    rows &= True if site is None else table["site"] == site
    table.loc[rows, "harmonized"] = value
    store.write_table(folder / "predictions.tsv", table)
    return table.loc[rows, "participant_id"].nunique()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("none", "fc-svm was not harmonized: combat does not act on what it reads."),
        ("identity", "of fc-svm were not harmonized: everyone tested was of a site"),
        ("batch", "with combat, each site left out by what its own tested people"),
    ],
)
def test_harmonization_is_told_of_the_people_tested(own_study, value, words):
    harmonized(own_study, value)
    told = summary(read_analysis(own_study))
    assert words in told.headline
    assert told.mood == ""
    unseen = any("does not see the harmonized" in word for word in told.sentences)
    assert unseen == (value == "none")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("identity", "{} people of sites not learned were left as they are."),
        ("batch", "{} people of sites not learned were corrected by what they show"),
    ],
)
def test_the_few_of_unseen_sites_are_counted(own_study, value, words):
    n = harmonized(own_study, value, site="USM")
    told = summary(read_analysis(own_study))
    assert told.headline.startswith(
        "The features of fc-svm were harmonized with combat."
    )
    assert words.format(n) in told.headline
    assert told.mood == "good"


def test_a_left_out_site_is_not_what_was_screened(own_study):
    assert len(summary(read_analysis(own_study)).sentences) == 1
    scheme(own_study, "loso")
    assert "of whom it says nothing" in summary(read_analysis(own_study)).sentences[1]


def test_what_was_learned_from_the_tested_is_not_denied(own_study):
    group_page(own_study)
    card = (own_study / "model_card.md").read_text()
    assert "Nothing but training people was used for any choice." in card
    n = harmonized(own_study, "batch")
    group_page(own_study)
    card = (own_study / "model_card.md").read_text()
    methods = (own_study / "methods.md").read_text()
    assert "Nothing but training people" not in card
    assert (
        f"{n} tested people of sites not in training corrected by what they themselves"
        in card
    )
    assert "training people alone, then applied" not in methods
    assert (
        "on its training people and, for sites not among them, on the people" in methods
    )
    assert "this is transductive" in methods
