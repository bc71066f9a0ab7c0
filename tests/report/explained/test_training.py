"""Methods and card: how series models learned, and what they were explained with."""

import pandas as pd
import pytest

from bidsclf.files import store
from bidsclf.report.card import card_text
from bidsclf.report.methods import methods_text
from bidsclf.report.tables import read_analysis
from bidsclf.report.verdict import Verdict

VERDICT = Verdict("fc-svm: AUC 0.9.", "good", [])
SOURCE = "site != 'NYU'"


@pytest.fixture
def edited(told):
    """Return a function that changes analysis.json and writes the methods."""

    def edit(change):
        about = store.read_json(told / "analysis.json")
        change(about)
        store.write_json(told / "analysis.json", about)
        return methods_text(read_analysis(told))

    return edit


def test_each_network_is_told_by_its_own_monitor_and_settings(told):
    text = methods_text(read_analysis(told))
    assert (
        "lstm-dg learned by Adam with learning rate 0.001, in steps of 32 windows of 30"
        " volumes, an epoch drawing 10 a person, for 8 epochs, whose last weights were"
        " kept (monitor: last). A person's score is the share of that person's windows"
        " that are called `autism`."
    ) in text
    assert (
        "meanmlp learned by AdamW (weight decay 0.0001) with learning rate 0.001, in"
        " steps of 32 people, for 100 epochs at most, until the loss on 15 % of the"
        " training people, held out for that, no longer fell for 10 epochs"
    ) in text
    assert "stopped when the loss" not in text


@pytest.mark.parametrize(
    ("sampled", "said"),
    [
        ({"n_steps": 8, "pick": "even"}, "Of each person 8 volumes were read, evenly"),
        ({"n_steps": 8, "pick": "middle"}, "the 8 volumes in the middle were read."),
        ({"n_steps": 0, "pick": "even"}, "Of each person every volume was read."),
        ({"n_steps": 0, "pick": "crops"}, "Of each person every volume was read."),
        ({"n_steps": 8, "pick": "crops"}, "in steps of 32 windows of 8 volumes, for"),
        ({"n_steps": 8, "pick": "crops"}, "all of that person's windows. Windows began"
         " every 4 volumes, and the last one ended with the scan."),
    ],
)  # fmt: skip
def test_which_volumes_a_network_reads_is_said(edited, sampled, said):
    def change(about):
        chosen = about["model_settings"]["meanmlp"]
        about["model_settings"]["meanmlp"] = chosen | sampled | {"per_person": 0}

    assert said in edited(change)
    assert "Of each person" not in edited(lambda about: about.pop("model_settings"))


def test_a_monitor_that_should_rise_is_said_to(edited):
    def change(about):
        for note in about["notes"]:
            if note["model"] == "meanmlp":
                note["notes"]["monitor"] = "auc"
        about["model_settings"]["lstm-dg"]["score"] = "mean"

    text = edited(change)
    assert "until the AUC on 15 % of the training people, held out for that" in text
    assert "no longer rose for 10 epochs" in text
    assert "the mean probability over all of that person's windows" in text


@pytest.mark.parametrize(
    ("monitor", "is_said"), [("last", False), ("auc", False), ("loss", True)]
)
def test_without_settings_only_the_loss_is_said_to_have_stopped(
    edited, monitor, is_said
):
    def change(about):
        about.pop("model_settings")
        about["notes"][-1]["notes"]["monitor"] = monitor

    text = edited(change)
    assert ("Training of meanmlp stopped when the loss" in text) == is_said


@pytest.mark.parametrize("name", ["inner_auc", "states_auc"])
def test_numbers_of_states_are_no_costs(edited, name):
    def change(about):
        notes = {"n_states": 3, name: {"2": 0.6, "3": 0.7}}
        hmm = {"model": "hmm", "unit": "hmm_fold-01", "notes": notes}
        about["notes"] = [hmm, *about["notes"]]

    text = edited(change)
    assert "The number of states of hmm was chosen from 2, 3," in text
    assert "The cost C of fc-svm was chosen from 0.1, 1, 30," in text


def test_settings_that_were_given_are_listed(edited):
    def change(about):
        about["settings"]["analysis"]["settings"] = ["lstm-dg:score=share"]

    said = "Settings that were given, in place of the defaults: `lstm-dg:score=share`."
    assert said in edited(change)


def test_one_repetition_time_is_said(edited):
    def change(about):
        about["settings"]["cohort"]["resample_tr_s"] = 2.5

    assert "one repetition time of 2.5 s, each run for itself" in edited(change)


def test_who_taught_from_outside_the_study_is_counted(told, edited):
    people = [(f"sub-{at}", site) for at, site in enumerate(("KKI", "KKI", "USM"))]
    source = pd.DataFrame(people, columns=["participant_id", "site"])
    store.write_table(told / "source.tsv", source)

    def change(about):
        about["settings"]["cohort"]["source"] = SOURCE
        notes = {"pretraining": {"n_people": 3}}
        about["notes"].append({"model": "dtl", "unit": "dtl", "notes": notes})

    said = (
        "dtl learned first, without labels, from 3 people outside the study of 2 sites"
        f" for whom `{SOURCE}` holds; none of them was tested."
    )
    assert said in edited(change)
    assert said in card_text(read_analysis(told), VERDICT)


def test_what_explains_the_models_is_cited_once_it_was_used(told):
    text = methods_text(read_analysis(told))
    for said in (
        "What moves the score of lstm-dg and lstm-h was measured by integrated gradie",
        "The weights of fc-svm were turned into activation patterns",
        "Communities of lstm-dg and lstm-h are the regions in the upper",
        "with that of a non-negative PARAFAC",
        "in Neurosynth [",
        "with NiMARE [",
        "Where cnn3d looks was mapped in test people by gradient x input [",
    ):
        assert said in text, said
    for name in (
        "Shrikumar",
        "Zeiler",
        "Sundararajan",
        "Haufe",
        "Dvornek, Li",
        "Yarkoni",
        "Salo",
    ):
        assert f". {name}" in text.partition("## References")[2]
    assert "What the models look at" in card_text(read_analysis(told), VERDICT)
    for name in (
        "attributions", "influence", "decoding", "robustness", "patterns", "maps",
    ):  # fmt: skip
        (told / f"{name}.tsv").unlink()
    text = methods_text(read_analysis(told))
    assert "Haufe" not in text
    assert "PARAFAC" not in text
    assert "occlusion" not in text
    assert "What the models look at" not in card_text(read_analysis(told), VERDICT)


def test_decoding_of_our_own_cites_no_nimare(edited):
    def change(about):
        about["explained_notes"] = [
            "Decoded against v7.npz by bidsclf, as NiMARE does, which is not installed."
        ]

    text = edited(change)
    assert "in Neurosynth [" in text
    assert "NiMARE [" not in text
