"""The loop that trains every network."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_softmax
from sklearn.metrics import roc_auc_score

from bidsclf.errors import ConfigError, FitError
from bidsclf.models._arithmetic import exact, seeded
from bidsclf.models._loop import learn
from bidsclf.models._persons import auc, log_odds
from bidsclf.models._sides import Side
from bidsclf.models._training import Part, Training, balanced, settings_of

CPU = torch.device("cpu")
N = 20
Y = np.tile([0, 1], N // 2)


def rows(seed: int = 0, push: float = 0.5) -> list[np.ndarray]:
    """One to four samples of three numbers a person; class 1 is pushed up."""
    rng = np.random.default_rng(seed)
    shapes = [(rng.integers(1, 5), 3) for _ in Y]
    pairs = zip(shapes, Y, strict=True)
    return [(rng.normal(size=s) + push * y).astype(np.float32) for s, y in pairs]


def part_of(toy, x, y=Y, weight=None) -> Part:
    return Part(toy.samples(x), y, np.ones(len(y)) if weight is None else weight)


def run(toy, *, valid_push=0.5, watch=None, checkpoint=None, seed=3, **settings):
    valid = None
    if valid_push is not None:
        valid = part_of(toy, rows(9, valid_push))
    given = {"n_epochs": 12, "batch_size": 8, "learning_rate": 0.05} | settings
    with seeded(seed, CPU):
        return learn(
            toy,
            part_of(toy, rows()),
            Training(**given),
            valid=valid,
            watch=watch,
            checkpoint=checkpoint,
        )


def by_hand(toy, batch):
    """Return logits of the line, float64."""
    w, b = (p.detach().double().numpy() for p in toy.line.parameters())
    return batch[0].double().numpy() @ w.T + b


def test_two_steps_are_adamw_written_out(make_toy):
    toy, weight = make_toy(dropout=0.0), np.where(Y, 1.5, 0.5)
    part = part_of(toy, rows(), weight=weight)
    x = np.concatenate(rows()).astype(float)
    y, each = Y[part.samples.person], weight[part.samples.person]
    w, b = (p.detach().double().numpy() for p in toy.line.parameters())
    theta = np.column_stack([w, b])
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    inputs = np.column_stack([x, np.ones(len(x))])
    for step in (1, 2):
        error = np.exp(log_softmax(inputs @ theta.T, axis=1)) - np.eye(2)[y]
        gradient = (each[:, None] * error).T @ inputs / len(x)
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        theta = theta * (1 - 0.01 * 0.1)
        move = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        theta = theta - 0.01 * move
    settings = Training(
        n_epochs=2, batch_size=999, learning_rate=0.01, weight_decay=0.1
    )
    learn(toy, part, settings)
    got = np.column_stack([p.detach().numpy() for p in toy.line.parameters()])
    np.testing.assert_allclose(got, theta, atol=1e-6)


def test_measures_are_means_over_samples_and_the_auc_is_of_people(make_toy):
    toy, weight = make_toy(dropout=0.0), np.where(Y, 2.0, 0.5)
    train, valid = part_of(toy, rows(), weight=weight), part_of(toy, rows(9))
    still = Training(n_epochs=1, batch_size=7, learning_rate=1e-30, weight_decay=0)
    entry = learn(toy, train, still, valid=valid).history[0]
    for name, part in (("train", train), ("valid", valid)):
        person = part.samples.person
        logits = by_hand(toy, part.samples.batch(np.arange(len(person))))
        y = Y[person]
        losses = -log_softmax(logits, axis=1)[np.arange(len(y)), y]
        expected = (part.weight[person] * losses).mean()
        assert entry[name]["loss"] == pytest.approx(expected, rel=1e-6)
        right = (logits[:, 1] > logits[:, 0]) == y
        assert entry[name]["accuracy"] == right.mean()
        size = (toy.line.weight**2).sum().item()
        assert entry[name]["size"] == pytest.approx(size)
        likely = expit(logits[:, 1] - logits[:, 0])
        people = np.bincount(person, likely) / np.bincount(person)
        if name == "valid":
            assert entry[name]["auc"] == pytest.approx(roc_auc_score(Y, people))
    assert entry["epoch"] == 1
    assert "auc" not in entry["train"]


@pytest.mark.parametrize("monitor", ["loss", "accuracy", "auc", "size"])
def test_the_monitor_rules_the_end_and_the_weights_that_are_kept(make_toy, monitor):
    toy = make_toy()
    found = run(toy, valid_push=-0.2, monitor=monitor, patience=4, n_epochs=60)
    values = np.array([entry["valid"][monitor] for entry in found.history])
    best = np.argmax(values) if monitor in ("accuracy", "auc") else np.argmin(values)
    assert found.epoch == best + 1
    assert len(values) == min(60, best + 1 + 4)
    short = make_toy()
    run(short, valid_push=None, n_epochs=found.epoch)
    for one, two in zip(toy.parameters(), short.parameters(), strict=True):
        assert torch.equal(one, two)


def test_the_monitor_last_runs_every_epoch_and_measures_validation(make_toy):
    toy, plain = make_toy(), make_toy()
    found = run(toy, valid_push=-2, monitor="last", patience=1)
    assert found.epoch == len(found.history) == 12
    assert all("auc" in entry["valid"] for entry in found.history)
    run(plain, valid_push=None)
    assert torch.equal(toy.line.weight, plain.line.weight)


def test_a_monitor_that_the_network_does_not_have(make_toy):
    with pytest.raises(ConfigError, match=r"'siz'; this network has loss, size, accu"):
        run(make_toy(), monitor="siz")


def test_an_auc_takes_both_classes(make_toy):
    toy = make_toy()
    valid = Part(toy.samples(rows()), np.zeros(N, int), np.ones(N))
    settings = Training(n_epochs=2, monitor="auc")
    with pytest.raises(FitError, match="validation part holds one class"):
        learn(toy, part_of(toy, rows()), settings, valid=valid)
    found = learn(toy, part_of(toy, rows()), Training(n_epochs=2), valid=valid)
    assert found.history[0]["valid"]["auc"] is None


def test_weights_are_put_back_after_every_step(make_toy):
    toy, seen = make_toy(), []

    def project():
        seen.append(toy.line.weight.min().item())
        with torch.no_grad():
            toy.line.weight.clamp_(min=0)

    toy.project = project
    found = run(toy, learning_rate=0.5)
    n_steps = -(-len(np.concatenate(rows())) // 8) * len(found.history)
    assert len(seen) == n_steps
    assert min(seen) < 0 <= toy.line.weight.min()


def test_a_loss_without_classes_has_no_accuracy(make_toy):
    toy = make_toy()
    real = toy.loss
    toy.loss = lambda batch, y, weight: real(batch, y, weight)._replace(logits=None)
    found = run(toy, n_epochs=1)
    assert set(found.history[0]["valid"]) == {"loss", "size"}


def test_a_loss_that_is_not_finite_names_the_epoch_and_the_rate(make_toy):
    toy = make_toy()
    watch = {"n": 0}

    def poison(n_epochs, entry):
        watch["n"] = entry["epoch"]
        if entry["epoch"] == 3:
            with torch.no_grad():
                toy.line.bias[0] = torch.nan

    match = r"train loss is nan at epoch 4 \(learning rate 0\.05\).*lower learning_rate"
    with pytest.raises(FitError, match=match):
        run(toy, watch=poison)
    assert watch["n"] == 3


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=8), k=st.integers(1, 6))
def test_an_epoch_draws_a_few_samples_of_each_person(counts, k):
    person = np.repeat(np.arange(len(counts)), counts)

    class Drawn:
        def __len__(self):
            return len(person)

    samples = Drawn()
    samples.person = person
    side = Side(Part(samples, np.zeros(len(counts)), np.ones(len(counts))), CPU)
    with seeded(0, CPU):
        which = side.draw(k)
        everyone = side.draw(0)
    assert len(set(which.tolist())) == len(which)
    np.testing.assert_array_equal(np.bincount(person[which]), np.minimum(counts, k))
    np.testing.assert_array_equal(np.sort(everyone), np.arange(len(person)))


def test_samples_are_drawn_anew_and_each_as_often(make_toy):
    toy = make_toy()
    side = Side(part_of(toy, [np.zeros((9, 3), np.float32)] * 2, Y[:2]), CPU)
    with seeded(0, CPU):
        drawn = [side.draw(3) for _ in range(600)]
    counts = np.bincount(np.concatenate(drawn), minlength=18)
    assert np.abs(counts - 200).max() < 4 * np.sqrt(200 * 2 / 3)
    orders = {tuple(np.argsort(one)) for one in drawn}
    assert len(orders) > 200  # people are mixed


@given(
    counts=st.lists(st.integers(1, 9), min_size=4, max_size=9),
    per_person=st.integers(0, 4),
)
def test_both_classes_count_the_same_in_an_epoch(counts, per_person):
    y = np.arange(len(counts)) % 2

    class Counted:
        person = np.repeat(np.arange(len(counts)), counts)

    weight = balanced(Counted(), y, Training(per_person=per_person))
    taken = np.minimum(counts, per_person) if per_person else np.array(counts)
    sums = np.bincount(y, weights=taken * weight[y])
    np.testing.assert_allclose(sums, taken.sum() / 2)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(-30, 30, width=32)),
        min_size=1,
        max_size=12,
    )
)
def test_log_odds_of_people_are_those_of_the_mean_probability(pairs):
    _, person = np.unique(sorted(p for p, _ in pairs), return_inverse=True)
    odds = np.array([o for _, o in pairs])
    mean = np.bincount(person, expit(odds)) / np.bincount(person)
    # near 1 the probability itself has lost digits, which its log odds show
    np.testing.assert_allclose(expit(log_odds(odds, person, "mean")), mean, rtol=1e-9)
    positive = np.bincount(person, (odds > 0) + 0.5 * (odds == 0))
    share = (positive + 0.5) / (np.bincount(person) + 1)
    np.testing.assert_allclose(expit(log_odds(odds, person, "share")), share)


def test_log_odds_stay_finite_where_probabilities_are_1():
    odds, person = np.array([800.0, 900, -900, 700]), np.array([0, 0, 1, 1])
    told = log_odds(odds, person, "mean")
    np.testing.assert_allclose(told, [800 + np.log(2), 0], atol=1e-9)
    assert np.isfinite(log_odds(odds, person, "share")).all()


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30))
def test_the_auc_is_scikit_learn_s(pairs):
    odds, truth = (np.array(one) for one in zip(*pairs, strict=True))
    truth = truth.astype(int)
    if len(set(truth)) == 1:
        assert auc(odds, truth) is None
    else:
        assert auc(odds, truth) == pytest.approx(roc_auc_score(truth, odds))


def test_bf16_learns_nearly_the_same_and_keeps_float32_weights(make_toy):
    plain, low = make_toy(), make_toy()
    first = run(plain, n_epochs=2).history
    second = run(low, n_epochs=2, precision="bf16").history
    assert low.line.weight.dtype == torch.float32
    assert not torch.equal(plain.line.weight, low.line.weight)
    for one, two in zip(first, second, strict=True):
        assert one["valid"]["loss"] == pytest.approx(two["valid"]["loss"], rel=0.02)


def test_a_gpu_is_made_exact_for_the_time_of_the_training(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    with exact(torch.device("cuda")):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.allow_tf32
    assert not torch.are_deterministic_algorithms_enabled()
    after = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    assert after == before


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("n_epochs", 0, "n_epochs is 0; it takes 1 or more"),
        ("batch_size", 0, "batch_size is 0; it takes 1"),
        ("patience", 0, "patience is 0; it takes 1"),
        ("per_person", -1, "per_person is -1; it takes 0"),
        ("weight_decay", np.nan, "weight_decay is nan; it takes 0"),
        ("learning_rate", 0.0, "learning_rate is 0.0; it takes more than 0"),
        ("precision", "fp16", "'fp16'; it is float32 or bf16"),
    ],
)
def test_settings_out_of_range_are_refused(name, value, match):
    with pytest.raises(ConfigError, match=match):
        Training(**{name: value})


def test_the_settings_of_a_variant_are_those_of_the_training_and_its_own():
    found = settings_of(Training(), score="share")
    assert found["score"] == "share"
    assert Training(**{k: v for k, v in found.items() if k != "score"}) == Training()
