"""The group page: its verdict follows the intervals, its numbers the tables."""

import numpy as np
import pandas as pd

from bidsclf.evaluate.comparison import comparisons_table
from bidsclf.evaluate.metrics import metrics_table
from bidsclf.files import store
from bidsclf.report.group import group_page, verdict

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


def judged(folder):
    metrics = store.read_table(folder / "metrics.tsv")
    return verdict(metrics, store.read_table(folder / "comparisons.tsv"))


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
    assert "every control: yes" in judged(folder)["sentence"]
    folder = analysis(
        tmp_path / "b", {"fc-svm": 1.5, "control-site": 0.0, "control-motion": 1.5}
    )
    answer = judged(folder)
    assert "every control: no" in answer["sentence"]
    assert "control-motion" in answer["sentence"]
    assert "control-site" not in answer["sentence"]


def test_no_control_no_verdict(tmp_path):
    folder = analysis(tmp_path, {"fc-svm": 1.5, "meanmlp": 0.0})
    answer = judged(folder)
    assert "cannot be judged" in answer["sentence"]
    assert answer["mood"] == "bad"


def test_only_controls_is_said(tmp_path):
    folder = analysis(tmp_path, {"control-site": 0.0, "control-motion": 0.1})
    assert "Only control" in judged(folder)["headline"]


def test_beating_an_unlucky_control_is_not_enough(tmp_path):
    folder = analysis(tmp_path, {"fc-svm": 0.0, "control-site": -1.5})
    answer = judged(folder)
    assert "Not clearly above chance" in answer["sentence"]
    assert answer["mood"] == "bad"
