"""The page on sites: plain words that follow the numbers."""

import numpy as np
import pandas as pd
import pytest

from bidsclf.config import HarmonizeConfig
from bidsclf.files import store
from bidsclf.harmonize import make
from bidsclf.report.harmonization import harmonization_page, is_told
from bidsclf.report.harmonized import summary
from bidsclf.report.tables import read_analysis


def screened(folder, **last):
    """Return the analysis with other figures after harmonization."""
    table = store.read_table(folder / "sites.tsv")
    for column, value in last.items():
        table.loc[table.index[-1], column] = value
    store.write_table(folder / "sites.tsv", table)
    return read_analysis(folder)


def test_the_summary_says_both_figures_and_chance(drawn_study):
    said = summary(read_analysis(drawn_study))
    assert said.headline == "The features of fc-svm were harmonized with combat."
    assert "81% before, 36% after" in said.sentences[0]
    assert "largest site gives 41%" in said.sentences[0]
    assert "No more of the site shows than by chance" in said.sentences[0]
    assert said.mood == "good"


def test_a_site_that_still_shows_is_said(own_study):
    said = summary(screened(own_study, accuracy=0.6, low=0.55, high=0.65))
    assert "Part of the site still shows" in said.sentences[0]
    assert said.mood == "bad"


def test_small_sites_that_are_known_count_although_the_accuracy_is_low(own_study):
    said = summary(screened(own_study, balanced_accuracy=0.5))
    assert "Part of the site still shows" in said.sentences[0]
    assert "50% are right where chance gives 25%" in said.sentences[0]


def test_a_site_named_less_often_than_by_chance_is_not_called_hidden(own_study):
    rare = {"accuracy": 0.1, "low": 0.05, "high": 0.15, "balanced_accuracy": 0.1}
    said = summary(screened(own_study, **rare))
    assert "the correction overshoots" in said.sentences[0]
    assert "10% are right where chance gives 25%" in said.sentences[0]
    assert "No more of the site" not in said.sentences[0]
    assert said.mood == ""
    said = summary(screened(own_study, **rare, n_sites=9))  # .10 beside .11
    assert "No more of the site shows than by chance" in said.sentences[0]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_one_set_of_features_that_shows_the_site_is_enough(own_study, order):
    table = store.read_table(own_study / "sites.tsv")
    other = table.assign(features="partial-edges", accuracy=0.8, low=0.7, high=0.9)
    both = [table, other]
    store.write_table(own_study / "sites.tsv", pd.concat([both[at] for at in order]))
    assert summary(read_analysis(own_study)).mood == "bad"


def test_without_harmonization_only_the_sites_are_told(own_study):
    about = store.read_json(own_study / "analysis.json")
    about["settings"]["harmonize"] = {"method": "none"}
    store.write_json(own_study / "analysis.json", about)
    table = store.read_table(own_study / "sites.tsv").iloc[:1]
    store.write_table(own_study / "sites.tsv", table)
    analysis = read_analysis(own_study)
    assert is_told(analysis)
    said = summary(analysis)
    assert said.headline == "Not harmonized."
    assert "The features show the site." in said.sentences[0]
    assert said.mood == "bad"


def test_a_run_that_did_not_look_says_so(own_study):
    (own_study / "sites.tsv").unlink()
    said = summary(read_analysis(own_study))
    assert "was not measured" in said.sentences[0]
    assert said.mood == ""


def test_the_page_counts_people_by_what_was_done_to_them(own_study):
    table = store.read_table(own_study / "predictions.tsv")
    is_usm = (table["model"] == "fc-svm") & (table["site"] == "USM")
    table.loc[is_usm, "harmonized"] = "batch"
    store.write_table(own_study / "predictions.tsv", table)
    path, _ = harmonization_page(read_analysis(own_study))
    text = path.read_text(encoding="utf-8")
    n = table.loc[is_usm, "participant_id"].nunique()
    line = text[: text.index("what the people to be tested of")].rpartition("<tr")[2]
    assert f'<td class="number">{n}</td><td class="number">1</td>' in line


def test_what_was_learned_is_gathered_over_fits(own_study):
    about = store.read_json(own_study / "analysis.json")
    first = about["notes"][0]
    told = first["notes"]["harmonizer"] | {
        "sites": {"KKI": 12},
        "sites_too_small": {},
        "n_unchanged": 5,
        "n_components": 31,
    }
    about["notes"].append(first | {"notes": {"harmonizer": told}})
    store.write_json(own_study / "analysis.json", about)
    path, _ = harmonization_page(read_analysis(own_study))
    text = path.read_text(encoding="utf-8")
    for said in ("12 to 43", "CMU (in 1 of 2)", "3 to 5", "31 components"):
        assert said in text, said


def test_a_curve_is_told_as_the_harmonizer_itself_tells_it(own_study):
    rng = np.random.default_rng(0)
    ages = pd.DataFrame({"age": np.linspace(8.1, 39.9, 60)})
    learner = make(HarmonizeConfig(method="combat-gam"))
    learner.fit(rng.normal(size=(60, 7)), np.repeat(["A", "B"], 30), ages)
    told = learner.notes()
    about = store.read_json(own_study / "analysis.json")
    about["notes"] = [about["notes"][0] | {"notes": {"harmonizer": told}}]
    store.write_json(own_study / "analysis.json", about)
    path, _ = harmonization_page(read_analysis(own_study))
    text = path.read_text(encoding="utf-8")
    low, median, high = told["alpha"]["age"]
    assert low <= median <= high
    assert f"age along a curve from 8.1 to 39.9, median penalty {median:.3g}" in text


def test_a_map_is_drawn_for_each_set_of_features(drawn_study):
    drawn = (drawn_study / "figures" / "map-fisherz-edges.svg").read_text()
    assert "fisherz-edges, before" in drawn
    assert ">UCLA_1<" in drawn
