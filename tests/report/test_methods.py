"""The methods paragraph and the model card say what the run did, and no more."""

import re
from importlib import import_module

import pytest

from bidsclf.files import store
from bidsclf.report.card import card_text
from bidsclf.report.methods import References, methods_text
from bidsclf.report.preparation import model_words
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
    explaining = ["dvornek", "sundararajan", "shrikumar", "zeiler", "haufe"]
    decoding = ["neurosynth", "nimare"]
    latent = ["abid", "aglinskas", "kriegeskorte", "mantel", "rousseeuw", "fraley"]
    maps = ["umap", "cat12", "vbm"]
    assert unused == ["covbat", *explaining, *decoding, *latent, *maps]  # not in this


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (
            "combat",
            r"ComBat \[\d+, \d+\], fitted with neuroHarmonize \[\d+\] in each split on",
        ),
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
        ("batch", "without their labels: this is transductive"),
        (None, "would have been refused"),
    ],
)
def test_each_policy_has_its_words(own_study, unseen, said):
    text = settings(own_study, "harmonize", unseen=unseen)
    assert ("Nobody tested was of a site" in text) == (unseen is not None)
    table = store.read_table(own_study / "predictions.tsv")
    is_usm = (table["site"] == "USM") & (table["model"] == "fc-svm")
    table.loc[is_usm, "harmonized"] = unseen or "site"
    store.write_table(own_study / "predictions.tsv", table)
    assert said in methods_text(read_analysis(own_study))


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
    assert "stratified by" not in text
    assert "somewhere" not in text


def test_what_was_not_done_is_not_said(own_study):
    for name in ("permutations", "calibration", "confounds", "qcfc", "sites"):
        (own_study / f"{name}.tsv").unlink()
    text = settings(own_study, "cohort", include=None, match=False, covariates=[])
    for word in ("permuted", "temperature a fit", "QC-FC", "Spearman", "told sites",
                 "one control was kept", "holds were taken"):  # fmt: skip
        assert word not in text, word
    assert "No covariate was kept." in text


def test_each_model_has_a_sentence(drawn_study):
    text = (drawn_study / "methods.md").read_text(encoding="utf-8")
    assert (
        "- `fc-svm`: a linear support vector machine on Fisher's z of the correlations"
        " between regions (atlas cc200).\n" in text
    )
    assert "- `control-phenotype`: logistic regression with an L2 pen" in text
    assert "the models to beat" not in text
    assert "The cost C of fc-svm was chosen from 0.1, 1, 30, each divided by" in text
    assert "AUC over 5 stratified inner folds" in text
    assert "Training of meanmlp stopped when the loss on 15 % of the" in text


def test_every_model_there_is_has_a_sentence():
    for family in ("fc", "meanmlp", "control"):
        for model in import_module(f"bidsclf.models.{family}").VARIANTS:
            words = model_words(model, {})
            assert words.endswith("."), model
            assert "to beat" not in words


def test_a_model_without_a_sentence_is_told_by_its_file(monkeypatch, tmp_path):
    words = store.write_json(tmp_path / "models.json", {"models": {}})
    monkeypatch.setattr("bidsclf.report.preparation.WORDS", words)
    words = model_words("fc-svm", {"input": "fisherz"})
    assert words.startswith("linear classifiers of functional connectivity")
    assert model_words("nobody", {}) == "a model that this version does not know."


def without(folder, *gone):
    """Take models out of every table."""
    for file in folder.glob("*.tsv"):
        table = store.read_table(file, text=("group",))
        for column in {"model", "model_a", "model_b"} & set(table):
            table = table[~table[column].isin(gone)]
        store.write_table(file, table)
    about = store.read_json(folder / "analysis.json")
    about["notes"] = [note for note in about["notes"] if note["model"] not in gone]
    store.write_json(folder / "analysis.json", about)
    return methods_text(read_analysis(folder))


def test_torch_is_cited_only_where_a_network_was_fitted(own_study):
    text = methods_text(read_analysis(own_study))
    assert re.search(r"scikit-learn \[\d+\], meanmlp with PyTorch \[\d+\]\.", text)
    text = without(own_study, "meanmlp")
    assert "PyTorch" not in text
    assert "Paszke" not in text
    assert "Training of" not in text


FMRIPREP = {"Strategy": "simple", "SmoothingFWHM": 0.0, "MinCoverage": 0.5}


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (FMRIPREP, "24 motion parameters, white matter, CSF"),
        (FMRIPREP, "preprocessed with fMRIPrep [4]"),
        (FMRIPREP, "Signals were detrended and not filtered further."),
        (FMRIPREP, "Images were not smoothed. No volume was censored for motion."),
        (FMRIPREP, "covers less than 50% counts as missing"),
        (FMRIPREP | {"HighPassHz": 0.01, "LowPassHz": 0.1}, "above 0.01 Hz and below"),
        (FMRIPREP | {"LowPassHz": 0.08}, "kept below 0.08 Hz (Butterworth"),
        (FMRIPREP | {"SmoothingFWHM": 6.0}, "smoothed by 6 mm FWHM"),
        (
            FMRIPREP | {"FDThreshold": 0.5, "StdDVARSThreshold": 1.5,
                        "MinSegmentVolumes": 5},
            "displacement above 0.5 mm or standardized DVARS above 1.5 were censored,"
            " and segments under 5 volumes",
        ),
        (FMRIPREP | {"DummyScansAsked": 4}, "at the start, the first 4 were left out"),
        (FMRIPREP | {"DummyScansAsked": "auto"}, "that fMRIPrep marked as non-steady"),
        (FMRIPREP | {"Strategy": "mine"}, "The denoising strategy was mine; each"),
        ({"Strategy": "simple", "Pipeline": "cpac"}, "not made by bidsclf but by cpac"),
        ({}, "is not recorded"),
        ({"Strategy": "simple"}, "is not recorded"),
    ],
)  # fmt: skip
def test_how_images_were_prepared_comes_from_the_bundle(own_study, made, said):
    feature = {"input": "fisherz", "atlas": "cc200", "preprocessing": made}
    store.write_json(
        own_study / "models" / "fc-svm" / "final" / "model.json",
        {"context": {"feature": feature}},
    )
    text = methods_text(read_analysis(own_study))
    assert said in text
    assert ("fMRIPrep" in text) == ("SmoothingFWHM" in made)


def test_the_card_answers_from_the_run_and_leaves_the_rest_open(drawn_study):
    analysis = read_analysis(drawn_study)
    text = card_text(analysis, VERDICT)
    assert "116 of 240 people are `autism`" in text
    assert "KKI, NYU, UCLA_1, USM" in text
    assert "no age, which --match needs (1)" in text
    assert "Better than every control: yes." in text
    assert "training people where the model could hold people out, and is" in text
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
    assert "It is no probability." in text
