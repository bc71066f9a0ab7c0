"""What hidden Markov models say of a person: held out, standardized, classified."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bidsclf.errors import ConfigError, FitError, InputError
from bidsclf.models._base import find
from bidsclf.models._hmm import begin, log_likelihood
from bidsclf.models._inner import inner_folds
from bidsclf.models._likelihoods import Likelihoods, longest_first
from bidsclf.models._rows import Series, canonical_order
from bidsclf.models._sequences import Sequences
from bidsclf.models.hmm import HMMClassifier


def study(seed: int = 0, n: int = 30) -> tuple[list[np.ndarray], np.ndarray]:
    """In region 0, class 1 leaves a level at most volumes, class 0 at every second."""
    rng, y = np.random.default_rng(seed), np.arange(n) % 2
    made = []
    for label in y:
        one = rng.normal(size=(rng.integers(50, 60), 4))
        leaves = rng.random(len(one)) < (0.95 if label else 0.5)
        one[:, 0] = 2.0 * (-1) ** np.cumsum(leaves) + one[:, 0] / 2
        made.append(((one - one.mean(0)) / one.std(0)).astype(np.float32))
    return made, y


SMALL = {"states": (2, 3), "n_iter": 10}


@pytest.mark.parametrize("per_class", [False, True])
def test_order_in_time_is_learned_where_the_values_are_the_same(per_class):
    series, y = study()
    model = HMMClassifier(per_class=per_class, **SMALL)
    model.fit(Series.of(series[:20]), y[:20])
    scores = model.predict_score(Series.of(series[20:]))
    assert ((scores > 0.5) == y[20:]).mean() >= 0.8
    shuffled = [np.random.default_rng(0).permutation(one) for one in series[20:]]
    assert ((model.predict_score(Series.of(shuffled)) > 0.5) == y[20:]).mean() < 0.8


def how(**settings) -> Likelihoods:
    given = {"regions": np.arange(4), "per_class": False, "n_iter": 10, "tol": 1e-4}
    return Likelihoods(**given | settings)


@pytest.mark.parametrize("per_class", [False, True])
def test_training_features_come_from_models_that_had_not_seen_the_person(per_class):
    """Any change of one part's people leaves the models that describe them as are."""
    series, y = study(n=20)
    order = longest_first(Series.of(series))
    series, y = [series[row] for row in order], y[order]
    splits = inner_folds(y, np.arange(20), 0)
    for number in (0, len(splits) - 1):  # EM began on the later parts, on the first
        held_out = splits[number][1]
        changed = [one.copy() for one in series]
        rest, labels = held_out[1:], y.copy()
        for row in rest:
            changed[row] = 3 * changed[row][::-1] + 1
        if per_class:  # exchange labels within the part: its own models see none
            pair = [held_out[y[held_out] == c][-1] for c in (0, 1)]
            labels[pair] = labels[pair[::-1]]
        first, second = (
            how(per_class=per_class).cross_fit(Series.of(x), truth, splits, [2])[0][0]
            for x, truth in ((series, y), (changed, labels))
        )
        kept = held_out[0]
        np.testing.assert_array_equal(first[kept], second[kept])
        others = splits[(number + 1) % len(splits)][1]
        assert not np.array_equal(first[others], second[others])


def test_features_are_log_likelihoods_a_volume():
    series, _ = study(n=6)
    x = Series.of(series)[longest_first(Series.of(series))]
    models = [begin(Sequences.of(list(x)[:few]), 2) for few in (6, 2)]
    found = [how().describe([model], x) for model in models]
    for person, one in enumerate(x):
        expected = log_likelihood(models[0], Sequences.of([one]))[:, 0] / len(one)
        np.testing.assert_allclose(found[0][person], expected)
    both = how(per_class=True).describe(models, x)
    np.testing.assert_allclose(both[:, :4], (found[0] + found[1]) / 2)
    np.testing.assert_allclose(both[:, 4:], found[1] - found[0])


def test_decisions_are_of_features_standardized_by_those_of_training():
    series, y = study()
    model = HMMClassifier(states=(2,), n_iter=10).fit(Series.of(series[:20]), y[:20])
    x = Series.of(series[:20])
    order = canonical_order(x, y[:20])
    order = order[longest_first(x[order])]
    splits = inner_folds(y[order], np.arange(20)[order], 0)
    trained = how(tol=model.tol).cross_fit(x[order], y[order], splits, [2])[0][0]
    told = how().describe(model.chains, Series.of(series[25:26]))
    unit = (told - trained.mean(axis=0)) / trained.std(axis=0)
    expected = unit @ model.weights + model.intercept
    found = model.decide(Series.of(series[25:26]))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_region_that_never_varies_is_left_out_and_one_of_a_person_is_average():
    series, y = study()
    for one in series[:20]:
        one[:, 2] = 0
    model = HMMClassifier(**SMALL).fit(Series.of(series[:20]), y[:20])
    assert model.notes()["n_dead_regions"] == 1
    np.testing.assert_array_equal(model.regions, [0, 1, 3])
    flat = series[20].copy()
    flat[:, [0, 1, 3]] = 0
    assert model.decide(Series.of([flat]))[0] == pytest.approx(model.intercept)


def test_families_stay_together_and_too_few_are_said_to_be_described_by_themselves():
    series, y = study(n=6)
    model = HMMClassifier(**SMALL)
    model.fit(Series.of(series), y, people=np.array([0, 1, 0, 1, 0, 1]))
    assert model.notes()["is_crossfitted"] is False
    assert np.isfinite(model.predict_score(Series.of(series))).all()


def test_a_series_of_two_volumes_has_a_score():
    series, y = study(n=12)
    series[0] = series[0][:2]
    model = HMMClassifier(**SMALL).fit(Series.of(series), y)
    assert np.isfinite(model.predict_score(Series.of([series[1][:2]]))).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"states": ()}, r"states is \(\)"),
        ({"states": (0, 2)}, r"states is \(0, 2\); it takes numbers from 1 up"),
        ({"n_iter": 0}, "n_iter is 0; EM takes 1 step or more"),
    ],
)
def test_settings_out_of_range_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        find("hmm").make(**given)


def test_what_cannot_be_learned_from_is_said():
    series, y = study(n=8)
    flat = Series.of([np.ones_like(one) for one in series])
    with pytest.raises(FitError, match="each of 4 regions is constant"):
        HMMClassifier(**SMALL).fit(flat, y)
    model = HMMClassifier(**SMALL).fit(Series.of(series), y)
    with pytest.raises(InputError, match=r"series of 3 regions; .* learned from 4"):
        model.predict_score(Series.of([series[0][:, :3]]))


def test_labels_drawn_anew_are_told_by_chance_in_the_inner_folds():
    """Pooled models see no label; what is above .5 is the choice of the best C."""
    series, y = study(n=24)
    aucs = []
    for seed in range(12):
        drawn = np.random.default_rng(seed).permutation(y)
        model = HMMClassifier(states=(2,), n_iter=2).fit(Series.of(series), drawn)
        told, truth = model.held_out()
        aucs.append(roc_auc_score(truth, told))
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.12)
    model = HMMClassifier(states=(2,), n_iter=10).fit(Series.of(series), y)
    told, truth = model.held_out()
    assert roc_auc_score(truth, told) > 0.8  # the same study, its own labels
    assert model.notes()["is_inner_auc_biased"] is False


def test_models_of_classes_knew_labels_of_the_inner_folds_and_offer_none():
    series, y = study(n=20)
    model = HMMClassifier(per_class=True, states=(2,), n_iter=2)
    model.fit(Series.of(series), y)
    assert model.held_out() is None
    assert model.notes()["is_inner_auc_biased"] is True
