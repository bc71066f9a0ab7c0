"""The methods paragraph and the model card say what the run did, and no more."""

import re

import pytest

from bidsclf.files import store
from bidsclf.report.card import card_text
from bidsclf.report.methods import References, methods_text
from bidsclf.report.tables import read_analysis
from bidsclf.report.verdict import Verdict

VERDICT = Verdict("fc-svm: AUC 0.9.", "good", ["Better than every control: yes."])


def settings(folder, part, **values):
    """Change settings; a value of None takes the key away, as in analysis.json."""
    about = store.read_json(folder / "analysis.json")
    about["settings"].setdefault(part, {}).update(values)
    for name in [name for name, value in values.items() if value is None]:
        about["settings"][part].pop(name)
    store.write_json(folder / "analysis.json", about)
    return methods_text(read_analysis(folder))


def test_references_are_numbered_in_order_and_all_used(drawn_study):
    text = (drawn_study / "methods.md").read_text(encoding="utf-8")
    body, _, listed = text.partition("## References")
    cited = [int(n) for group in re.findall(r"\[([\d, ]+)\]", body)
             for n in group.split(", ")]  # fmt: skip
    assert list(dict.fromkeys(cited)) == list(range(1, max(cited) + 1))
    assert len(re.findall(r"^\d+\. ", listed, re.M)) == max(cited)


def test_a_reference_that_is_not_known_is_an_error():
    with pytest.raises(KeyError):
        References().cite("nobody")


def test_every_reference_is_cited_by_some_text(drawn_study):
    used = "".join(
        (drawn_study / name).read_text(encoding="utf-8")
        for name in ("methods.md", "model_card.md")
    )
    unused = [key for key, line in References().known.items() if line not in used]
    assert set(unused) == {"gam", "covbat"}  # of methods this run did not use


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("combat", r"ComBat \[\d+, \d+\], learned in each fold"),
        ("combat-gam", r"ComBat-GAM\) \[\d+, \d+\] of age, the penalty"),
        ("covbat", r"CovBat \[\d+\] on top of ComBat"),
        ("none", r"Site effects were not removed\."),
    ],
)
def test_each_harmonizer_has_its_words(own_study, method, said):
    text = settings(own_study, "harmonize", method=method)
    assert re.search(said, text)
    assert ("The diagnosis was never given" in text) == (method != "none")


@pytest.mark.parametrize(
    ("unseen", "said"),
    [
        ("identity", "were left as they are"),
        ("batch", "without their labels (transductive)"),
        (None, "would have been refused"),
    ],
)
def test_each_policy_has_its_words(own_study, unseen, said):
    assert said in settings(own_study, "harmonize", unseen=unseen)


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        ("kfold", "10-fold cross-validation, stratified by diagnosis and site"),
        ("loso", "sites was left out once"),
        ("bootstrap", "In each of 2 bootstrap rounds"),
    ],
)
def test_each_scheme_has_its_words(own_study, scheme, said):
    assert said in settings(own_study, "folds", scheme=scheme)


def test_given_splits_are_not_called_a_scheme(own_study):
    text = settings(own_study, "folds", folds_file="somewhere/mine.tsv")
    assert "Splits were given in mine.tsv: 10 folds, repeated 2 times." in text
    assert "stratified" not in text
    assert "somewhere" not in text


def test_what_was_not_done_is_not_said(own_study):
    for name in ("permutations", "calibration", "confounds", "qcfc", "sites"):
        (own_study / f"{name}.tsv").unlink()
    text = settings(own_study, "cohort", include=None, match=False, covariates=[])
    for word in ("permuted", "temperature a fit", "QC-FC", "Spearman", "told sites",
                 "one control was kept", "holds were taken"):  # fmt: skip
        assert word not in text, word
    assert "No covariate was kept." in text


def test_models_are_described_by_their_files(drawn_study):
    text = (drawn_study / "methods.md").read_text(encoding="utf-8")
    assert "- `fc-svm`: linear classifiers of functional connectivity" in text
    assert "`control-phenotype`, `control-motion`, `control-site`: " in text


def test_what_a_model_read_comes_from_its_bundle(own_study):
    feature = {"input": "fisherz", "atlas": "cc200", "desc": "cpac"}
    store.write_json(
        own_study / "models" / "fc-svm" / "final" / "model.json",
        {"context": {"feature": feature}},
    )
    text = methods_text(read_analysis(own_study))
    assert "Input: fisherz (atlas cc200, desc cpac)." in text


def test_the_card_answers_from_the_run_and_leaves_the_rest_open(drawn_study):
    analysis = read_analysis(drawn_study)
    text = card_text(analysis, VERDICT)
    assert "116 of 240 people are `autism`" in text
    assert "KKI, NYU, UCLA_1, USM" in text
    assert "no age, which --match needs (1)" in text
    assert "Better than every control: yes." in text
    left_open = text.partition("## For the authors")[2]
    assert "Ethical approval" in left_open
    assert "Sample size (10" in left_open


def test_each_item_of_tripod_is_answered_or_left_open_once(drawn_study):
    """Items 1 to 27 of the checklist; letters of one item may be in both parts."""
    text = card_text(read_analysis(drawn_study), VERDICT).partition("## References")[0]
    text = text.partition("## Answered")[2]
    inside = " ".join(re.findall(r"\(([^)]*)\)", text))
    numbers = {int(n) for n in re.findall(r"\b(\d{1,2})[a-g]?\b", inside)}
    spans = re.findall(r"(\d+)[a-g]? to (\d+)", inside)
    for first, last in spans:
        numbers |= set(range(int(first), int(last) + 1))
    assert set(range(1, 28)) <= numbers


def test_scores_that_were_not_calibrated_are_not_called_so(own_study):
    table = store.read_table(own_study / "calibration.tsv")
    before = table[table["stage"] == "before"]
    store.write_table(own_study / "calibration.tsv", before)
    text = card_text(read_analysis(own_study), VERDICT)
    assert "It is not a calibrated probability." in text
