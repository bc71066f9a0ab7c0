"""The group page: its verdict follows the intervals, its numbers the tables."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bidsclf.evaluate.comparison import comparisons_table
from bidsclf.evaluate.metrics import metrics_table
from bidsclf.files import store
from bidsclf.report.group import group_page
from bidsclf.report.tables import read_analysis
from bidsclf.report.verdict import judge

LABELS = {"0": "control", "1": "autism & <more>"}


def predictions(strengths, n=60, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    parts = []
    for model, strength in strengths.items():
        score = 1 / (1 + np.exp(-(rng.normal(size=n) + strength * (2 * truth - 1))))
        parts.append(
            pd.DataFrame(
                {
                    "participant_id": [f"sub-{i:02d}" for i in range(n)],
                    "site": np.where(np.arange(n) < n // 2, "A", "B"),
                    "model": model,
                    "repeat": 1,
                    "fold": 1 + np.arange(n) % 3,
                    "truth": truth,
                    "score": score,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def analysis(folder, strengths):
    table = predictions(strengths)
    people = table.drop_duplicates("participant_id")
    cohort = people[["participant_id", "site"]].assign(
        included="yes", reason=None, y=people["truth"], label="x", age=20.0
    )
    left_out = pd.DataFrame(
        {"participant_id": ["sub-99"], "included": ["no"], "reason": ["no <features>"]}
    )
    store.write_table(folder / "cohort.tsv", pd.concat([cohort, left_out]))
    store.write_table(
        folder / "folds.tsv",
        people[["repeat", "fold", "participant_id"]].assign(part="test"),
    )
    store.write_table(folder / "predictions.tsv", table)
    store.write_table(
        folder / "metrics.tsv", metrics_table(table, n_bootstrap=100, seed=0)
    )
    store.write_table(folder / "comparisons.tsv", comparisons_table(table))
    about = {
        "analysis_id": "main",
        "labels": LABELS,
        "command": "run.py in out group",
        "settings": {
            "cohort": {"target": "diagnosis"},
            "folds": {"scheme": "kfold"},
        },
        "versions": {"bidsclf": "0"},
        "failed": {"meanmlp": "loss is NaN at epoch 4"},
    }
    store.write_json(folder / "analysis.json", about)
    return folder


def judged(folder, *, failed=None, scheme="kfold", **tables):
    """Return the verdict, with some tables in place of those in the folder."""
    found = read_analysis(folder)
    found.about["failed"] = failed or {}
    found.about["settings"]["folds"]["scheme"] = scheme
    return judge(replace(found, tables=found.tables | tables))


def test_a_page_holds_what_the_tables_say(tmp_path):
    folder = analysis(tmp_path, {"fc-svm": 1.5, "control-site": 0.0})
    text = group_page(folder).read_text(encoding="utf-8")
    assert "60 people" in text
    assert "loss is NaN at epoch 4" in text
    assert "no &lt;features&gt;" in text
    assert "autism &amp; &lt;more&gt;" in text
    assert "3-fold cross-validation" in text
    assert (tmp_path / "figures" / "roc.svg").exists()


def test_the_verdict_is_yes_only_above_every_control(tmp_path):
    folder = analysis(tmp_path / "a", {"fc-svm": 1.5, "control-site": 0.0})
    answer = judged(folder)
    assert "every control: yes (control-site" in answer.sentences[0]
    assert answer.mood == "good"
    folder = analysis(
        tmp_path / "b", {"fc-svm": 1.5, "control-site": 0.0, "control-motion": 1.5}
    )
    answer = judged(folder)
    assert "every control: no" in answer.sentences[0]
    assert "control-motion" in answer.sentences[0]
    assert "control-site" not in answer.sentences[0]
    assert answer.mood == "bad"


def test_the_best_model_is_named_wherever_it_stands(tmp_path):
    strengths = {"meanmlp": 0.3, "fc-svm": 1.5, "control-site": 0.0}
    answer = judged(analysis(tmp_path, strengths))
    assert answer.headline.startswith("fc-svm: AUC")
    assert any("best of 2 models" in sentence for sentence in answer.sentences)


def test_no_control_no_verdict(tmp_path):
    answer = judged(analysis(tmp_path, {"fc-svm": 1.5, "meanmlp": 0.0}))
    assert "unknown, since none was fitted" in answer.sentences[0]
    assert answer.mood == "bad"


def test_a_control_that_failed_leaves_the_question_open(tmp_path):
    folder = analysis(tmp_path, {"fc-svm": 1.5, "control-site": 0.0})
    answer = judged(folder, failed={"control-motion": "no quality tables"})
    assert "unknown, since control-motion failed" in answer.sentences[0]
    assert answer.mood == "bad"


def test_a_control_that_knows_something_is_pointed_at(tmp_path):
    answer = judged(analysis(tmp_path, {"fc-svm": 3.0, "control-motion": 0.8}))
    assert answer.mood == "good"
    pointing = [said for said in answer.sentences if "control-motion (AUC" in said]
    assert "part of the score" in pointing[0]


def test_control_site_is_not_counted_where_sites_are_left_out(tmp_path):
    folder = analysis(tmp_path, {"fc-svm": 1.5, "control-site": 0.0})
    answer = judged(folder, scheme="loso")
    assert "unknown, since only control-site was" in answer.sentences[0]


def test_models_that_failed_are_not_called_absent(tmp_path):
    folder = analysis(tmp_path, {"control-site": 0.0, "control-motion": 0.1})
    assert "none was asked for" in judged(folder).headline
    assert "failed: fc-svm" in judged(folder, failed={"fc-svm": "NaN"}).headline


def test_beating_an_unlucky_control_is_not_enough(tmp_path):
    answer = judged(analysis(tmp_path, {"fc-svm": 0.0, "control-site": -1.5}))
    assert "every control: yes" in answer.sentences[0]
    assert answer.sentences[1].startswith("Better than chance: no")
    assert answer.mood == "bad"


def test_a_perfect_sample_is_not_called_certain(tmp_path):
    answer = judged(analysis(tmp_path, {"fc-svm": 20.0, "control-site": 0.0}))
    assert any("not that the next one will" in word for word in answer.sentences)


def test_the_confusion_counts_people_at_the_threshold(tmp_path):
    folder = analysis(tmp_path, {"fc-svm": 1.5, "control-site": 0.0})
    group_page(folder)
    table = store.read_table(folder / "predictions.tsv")
    rows = table[table["model"] == "fc-svm"]
    n_right = int(((rows["score"] >= 0.5) & (rows["truth"] == 1)).sum())
    drawn = (folder / "figures" / "confusion-fc-svm.svg").read_text()
    assert f">{n_right}<" in drawn


def test_one_person_has_no_spread(tmp_path):
    folder = analysis(tmp_path, {"fc-svm": 1.5, "control-site": 0.0})
    cohort = store.read_table(folder / "cohort.tsv")
    cohort.loc[0, ["site", "age"]] = ["lonely", 31.0]
    store.write_table(folder / "cohort.tsv", cohort)
    text = group_page(folder).read_text(encoding="utf-8")
    assert "31.0</td>" in text
    assert "nan" not in text.replace("finance", "")


def within(metrics, low):
    """Add an AUC within sites to metrics.tsv, in place of the measured one."""
    row = {"model": "fc-svm", "scope": "within site", "group": "all", "metric": "auc"}
    row |= {"estimate": 0.6, "low": low, "high": 0.7, "method": "delong", "n": 60}
    others = metrics[metrics["scope"] != "within site"]
    return pd.concat([others, pd.DataFrame([row])], ignore_index=True)


def test_the_auc_within_sites_stands_beside_the_pooled_one(tmp_path):
    folder = analysis(tmp_path, {"fc-svm": 1.5, "control-site": 0.0})
    metrics = store.read_table(folder / "metrics.tsv")
    for low, unclear in ((0.55, False), (0.45, True)):
        answer = judged(folder, metrics=within(metrics, low))
        said = [
            word for word in answer.sentences if "same site its AUC is 0.60" in word
        ]
        assert len(said) == 1
        assert ("is not clear" in said[0]) == unclear


def refits(**changes):
    null = {"model": "fc-svm", "null": "refit", "metric": "auc", "observed": 0.8}
    null |= {"null_mean": 0.71, "null_sd": 0.05, "p": 0.005, "n_permutations": 200}
    others = null | {"p": 1.0, "null": "fixed scores"}
    return pd.DataFrame([null | changes, others])


@pytest.mark.parametrize(
    ("n", "p", "said", "mood"),
    [
        (200, 0.005, "yes (p = 0.0050, 200 permutations)", "good"),
        (200, 1 / 201, "yes (p = 0.0050, the smallest that 200 perm", "good"),
        (200, 0.2, "no (p = 0.2000, 200 permutations)", "bad"),
        (
            10,
            1 / 11,
            "unknown, since 10 permutations cannot give p below 0.0909",
            "good",
        ),
        (10, 0.5, "unknown, since 10 permutations cannot give p below 0.0909", "good"),
        (19, 0.05, "unknown, since 19 permutations cannot give p below 0.0500", "good"),
        (20, 2 / 21, "no (p = 0.0952, 20 permutations)", "bad"),
    ],
)
def test_permuted_labels_have_an_answer_of_their_own(tmp_path, n, p, said, mood):
    folder = analysis(tmp_path, {"fc-svm": 1.5, "control-site": 0.0})
    answer = judged(folder, permutations=refits(p=p, n_permutations=n))
    assert "every control: yes" in answer.sentences[0]
    assert answer.sentences[1] == "Better than chance: yes."
    assert f"permuted within site: {said}" in answer.sentences[2]
    assert "AUC 0.71 on average, on the true ones 0.80" in answer.sentences[2]
    assert "alone" not in answer.sentences[2]
    assert answer.mood == mood


def test_only_delong_on_the_auc_decides(tmp_path):
    folder = analysis(tmp_path, {"fc-svm": 1.5, "control-site": 0.0})
    comparisons = store.read_table(folder / "comparisons.tsv")
    is_delong = (comparisons["test"] == "delong") & (comparisons["metric"] == "auc")
    for others, word in ((~is_delong, "yes"), (is_delong, "no")):
        changed = comparisons.copy()
        changed.loc[others, "p_holm"] = 1.0
        said = judged(folder, comparisons=changed)
        assert f"every control: {word}" in said.sentences[0]
