"""embedding.tsv: the same people, scored before and after harmonization."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from bidsclf.errors import InputError
from bidsclf.evaluate.embedding import embedding_table

N = 60


def predictions(seed=0, *, n_repeats=2, gain=0.3):
    """Two repeats of a model that harmonization helps, and of one without."""
    rng, parts = np.random.default_rng(seed), []
    truth = np.arange(N) % 2
    for repeat in range(1, n_repeats + 1):
        before = rng.random(N)
        after = np.clip(before + gain * (truth - 0.5), 0, 1)
        base = pd.DataFrame(
            {
                "participant_id": [f"sub-{i:02d}" for i in range(N)],
                "site": "A",
                "repeat": repeat,
                "fold": 1,
                "truth": truth,
            }
        )
        parts += [
            base.assign(model="net", score=after, probability=after, before=before),
            base.assign(model="plain", score=before, probability=before),
        ]
    return pd.concat(parts, ignore_index=True)


def test_agrees_with_scikit_learn_on_means_over_repeats():
    rows = predictions()
    table = embedding_table(rows, n_bootstrap=200).set_index("metric")
    assert set(table["model"]) == {"net"}
    people = (
        rows[rows["model"] == "net"].groupby("participant_id").mean(numeric_only=True)
    )
    for stage, score in {"before": "before", "after": "score"}.items():
        auc = roc_auc_score(people["truth"], people[score])
        called = balanced_accuracy_score(people["truth"], people[score] >= 0.5)
        assert table.loc["auc", stage] == pytest.approx(auc)
        assert table.loc["balanced_accuracy", stage] == pytest.approx(called)
    change = table["after"] - table["before"]
    np.testing.assert_allclose(table["difference"], change)
    assert (table["low"] <= table["difference"]).all()
    assert (table["difference"] <= table["high"]).all()
    assert table.loc["auc", "low"] > 0
    assert (table["n"] == N).all()


def test_a_difference_has_the_interval_of_pairs():
    """Scores that are noisy but the same have no difference in any draw."""
    table = embedding_table(predictions(gain=0), n_bootstrap=50)
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)
    pd.testing.assert_frame_equal(
        table, embedding_table(predictions(gain=0).sample(frac=1, random_state=1))
    )


def test_no_row_where_no_embedding_was_harmonized():
    rows = predictions()
    assert embedding_table(rows.drop(columns="before")).empty
    none = embedding_table(rows.assign(before=np.nan))
    assert none.empty
    assert "difference" in none


def test_a_lone_patient_has_no_interval():
    rows = predictions()
    rows = rows[(rows["truth"] == 0) | (rows["participant_id"] == "sub-01")]
    table = embedding_table(rows, n_bootstrap=20)
    assert table[["low", "high"]].isna().all(axis=None)
    assert table["before"].notna().all()


def test_scores_outside_zero_and_one_are_refused():
    rows = predictions()
    rows.loc[0, "before"] = 1.2
    with pytest.raises(InputError, match=r"1 of 120 values of score are outside"):
        embedding_table(rows)
