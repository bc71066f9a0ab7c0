"""All pages of one analysis: what they say, and what they bear to lack."""

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from bidsclf.files import store
from bidsclf.report import page as page_of
from bidsclf.report.group import group_page
from bidsclf.report.ranking import comparisons
from bidsclf.report.tables import NEEDED, OPTIONAL, read_analysis

PAGES = ("report.html", "harmonization.html", "methods.md", "model_card.md")
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Balance(HTMLParser):
    """Collect links and complain about tags that do not close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.headings = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "a":
            self.links.append(dict(attrs)["href"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"{tag} closes out of order"

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def parsed(path):
    parser = Balance()
    parser.feed(path.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser


def text_of(folder, name="report.html"):
    return (folder / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES[:2])
def test_a_page_is_balanced_and_its_links_lead_somewhere(drawn_study, name):
    page = parsed(drawn_study / name)
    assert page.links
    assert all((drawn_study / link).exists() for link in page.links)


@pytest.mark.parametrize("name", PAGES)
def test_no_page_shows_a_hole(drawn_study, name):
    text = text_of(drawn_study, name)
    for hole in ("nan", "None", "Undefined", "{{", "{%"):
        assert f" {hole}" not in text, hole
        assert f">{hole}" not in text, hole


def test_every_section_stands_and_nothing_is_called_absent(drawn_study):
    page = parsed(drawn_study / "report.html")
    assert page.headings == [
        "Models beside their controls",
        "Model against model",
        "Against permuted labels",
        "Splits",
        "Can a score be read as a probability?",
        "Who is called what",
        "Sites",
        "Subgroups",
        "What else the scores follow",
        "Cohort",
        "Methods and model card",
        "How to repeat this",
    ]
    assert "Not in this analysis" not in text_of(drawn_study)


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.usefixtures("undrawn")
def test_a_table_that_is_absent_is_named_and_the_rest_stands(own_study, name):
    (own_study / f"{name}.tsv").unlink()
    group_page(own_study)
    assert f"Not in this analysis: {OPTIONAL[name]}." in text_of(own_study)
    parsed(own_study / "report.html")


@pytest.mark.usefixtures("undrawn")
def test_an_analysis_older_than_all_of_this_still_has_a_page(own_study):
    for name in OPTIONAL:
        (own_study / f"{name}.tsv").unlink()
    about = store.read_json(own_study / "analysis.json")
    for part in ("harmonize", "analysis"):
        about["settings"].pop(part)
    for key in ("failed_tables", "fold_notes", "notes"):
        about.pop(key)
    store.write_json(own_study / "analysis.json", about)
    table = store.read_table(own_study / "predictions.tsv")
    store.write_table(
        own_study / "predictions.tsv", table.drop(columns=["probability", "harmonized"])
    )
    group_page(own_study)
    assert "Not harmonized" in text_of(own_study)
    assert "AUC of splits" in text_of(own_study)
    assert "unknown, since models were not compared" in text_of(own_study)
    assert not (own_study / "harmonization.html").exists()
    assert "Site effects were not removed." in text_of(own_study, "methods.md")


@pytest.mark.usefixtures("undrawn")
def test_a_table_that_failed_is_shown_with_its_reason(own_study):
    (own_study / "confounds.tsv").unlink()
    about = store.read_json(own_study / "analysis.json")
    about["failed_tables"] = {"confounds": "mean_fd of nobody & <more>"}
    store.write_json(own_study / "analysis.json", about)
    group_page(own_study)
    text = text_of(own_study)
    assert "confounds.tsv failed" in text
    assert "mean_fd of nobody &amp; &lt;more&gt;" in text
    assert "Not in this analysis" not in text


@pytest.mark.usefixtures("undrawn")
def test_a_page_of_harmonization_that_no_longer_holds_goes(own_study):
    group_page(own_study)
    for name in ("sites", "site_map", "qcfc"):
        (own_study / f"{name}.tsv").unlink()
    about = store.read_json(own_study / "analysis.json")
    about["settings"]["harmonize"]["method"] = "none"
    store.write_json(own_study / "analysis.json", about)
    group_page(own_study)
    assert not (own_study / "harmonization.html").exists()


@pytest.mark.parametrize("is_measured", [True, False])
@pytest.mark.usefixtures("undrawn")
def test_whether_sites_still_show_is_asked_only_where_it_was_measured(
    own_study, is_measured
):
    if not is_measured:  # as of volumes, which are harmonized at the embedding
        for name in ("sites", "site_map", "qcfc"):
            (own_study / f"{name}.tsv").unlink()
    group_page(own_study)
    page, question = text_of(own_study, "harmonization.html"), "still show the site?"
    assert (question in text_of(own_study)) == is_measured
    assert ("Maps, methods and notes" in text_of(own_study)) == is_measured
    assert (f"{question}</h1>" in page) == is_measured
    assert "What was done to whom" in text_of(own_study) or is_measured


def test_every_table_is_known_to_the_reader(drawn_study):
    written = {file.stem for file in drawn_study.glob("*.tsv")}
    assert written == {*NEEDED, *OPTIONAL}


def test_the_best_model_s_pairs_come_first(drawn_study):
    text = text_of(drawn_study)
    assert text.index("fc-svm against control-site") < text.index("3 more pairs")
    assert text.index("meanmlp against control-site") > text.index("3 more pairs")
    assert "control-phenotype against" not in text


def test_the_best_model_is_first_in_its_pairs(own_study):
    table = store.read_table(own_study / "comparisons.tsv")
    swap = {"model_a": "model_b", "model_b": "model_a", "low": "high", "high": "low"}
    is_two = table["test"] != "paired-t"
    turned = table.rename(columns=swap)[table.columns]
    numbers = ["difference", "low", "high"]
    turned[numbers] = -turned[numbers]
    before = comparisons(read_analysis(own_study))
    table[is_two] = turned[is_two]
    store.write_table(own_study / "comparisons.tsv", table)
    after = comparisons(read_analysis(own_study))
    assert after["best"] == before["best"]
    assert after["best"].rows[0].cells[0][1] == "fc-svm against meanmlp"
    assert after["one_sided"] == before["one_sided"]


def test_the_one_sided_test_is_asked_as_it_was_and_folded_away(own_study):
    table = store.read_table(own_study / "comparisons.tsv")
    found = comparisons(read_analysis(own_study))
    assert not any("one-sided" in name for name in found["best"].columns)
    is_asked = (table["test"] == "paired-t") & (table["metric"] == "auc")
    row = table[is_asked & (table["model_b"] == "meanmlp")].iloc[0]
    cells = dict(found["one_sided"].rows[0].cells)
    assert cells["model"] == "fc-svm above meanmlp"
    assert cells["one-sided t p, AUC"] == page_of.p_value(row["p_holm"])


@pytest.mark.parametrize("n", [19, 20])
@pytest.mark.usefixtures("undrawn")
def test_a_percentile_p_is_shown_where_it_could_be_small(own_study, n):
    table = store.read_table(own_study / "experiment.tsv").assign(n_splits=n)
    store.write_table(own_study / "experiment.tsv", table)
    group_page(own_study)
    assert ("p, percentile" in text_of(own_study)) == (n == 20)
    assert ("The percentile p counts" in text_of(own_study)) == (n == 20)


def test_controls_are_folded_away_beside_models_only(drawn_study):
    text = text_of(drawn_study)
    splits = text.partition(">Splits<")[2].partition("Can a score be read")[0]
    shown, _, folded = splits.partition("The same of controls")
    assert '<td class="">meanmlp</td>' in shown
    assert '<td class="">control-site</td>' not in shown
    assert '<td class="">control-site</td>' in folded
    first = text.partition("Models beside their controls")[2].partition("<h2>")[0]
    assert '<td class="">control-site</td>' in first


@pytest.mark.usefixtures("undrawn")
def test_refits_are_explained_where_there_are_some(own_study):
    group_page(own_study)
    assert "They are of the first repeat alone" in text_of(own_study)
    table = store.read_table(own_study / "permutations.tsv")
    fixed = table[table["null"] != "refit"]
    store.write_table(own_study / "permutations.tsv", fixed)
    group_page(own_study)
    assert "fits every model again" not in text_of(own_study)


def test_the_smallest_p_of_permutations_is_said(drawn_study):
    assert "1000 permutations give none below 0.0010" in text_of(drawn_study)


def test_comparisons_show_the_corrected_p_of_each_test(drawn_study):
    table = store.read_table(drawn_study / "comparisons.tsv")
    text = text_of(drawn_study)
    for heading in ("DeLong p, AUC", "McNemar p, accuracy", "Nadeau-Bengio p, AUC"):
        assert f">{heading}<" in text
    row = table.query("test == 'nadeau-bengio' and model_b == 'meanmlp'").iloc[0]
    line = text[text.index("fc-svm against meanmlp") :].partition("</tr>")[0]
    assert f"{row['p_holm']:.4f}" in line


def test_what_permuted_labels_gave_stands_beside_what_was_observed(drawn_study):
    line = text_of(drawn_study).partition("Against permuted labels")[2]
    line = line[line.index(">refit<") :].partition("</tr>")[0]
    assert "0.72 against 0.50 (0.02)" in line
    assert "0.0010" in line


def test_one_split_and_one_site_are_no_reason_to_stop(own_study):
    for name in ("predictions", "cohort", "metrics"):
        table = store.read_table(own_study / f"{name}.tsv", text=("group",))
        table = table.assign(site="only") if "site" in table else table
        store.write_table(own_study / f"{name}.tsv", table)
    table = store.read_table(own_study / "experiment.tsv")
    table[["sd", "t", "p_t", "p_nadeau_bengio", "p_percentile"]] = np.nan
    store.write_table(own_study / "experiment.tsv", table)
    curves = store.read_table(own_study / "roc.tsv").assign(sd=np.nan)
    store.write_table(own_study / "roc.tsv", curves)
    group_page(own_study)
    assert "1 site." in text_of(own_study)
    assert not (own_study / "figures" / "roc-splits.svg").exists()


def test_names_with_markup_stay_text(own_study):
    for name in ("predictions", "metrics", "site_map", "cohort"):
        table = store.read_table(own_study / f"{name}.tsv", text=("group",))
        for column in {"site", "group"} & set(table):
            table[column] = table[column].replace("USM", "<b>USM</b>")
        store.write_table(own_study / f"{name}.tsv", table)
    group_page(own_study)
    for name in PAGES[:2]:
        parsed(own_study / name)
        assert "<b>USM" not in text_of(own_study, name)


@pytest.mark.usefixtures("undrawn")
def test_no_model_of_the_brain_leaves_the_controls_on_the_page(own_study):
    for name in ("predictions", "metrics", "permutations", "experiment", "roc",
                 "calibration", "confounds", "comparisons"):  # fmt: skip
        table = store.read_table(own_study / f"{name}.tsv", text=("group",))
        column = "model_a" if name == "comparisons" else "model"
        table = table[table[column].str.startswith("control")]
        store.write_table(own_study / f"{name}.tsv", pd.DataFrame(table))
    group_page(own_study)
    assert "No model of the brain was fitted" in text_of(own_study)
    assert "Harmonization: combat; no model of the brain" in text_of(own_study)
