"""A network behind the contract: scores of people, dead regions, what is saved."""

import copy
import io
import multiprocessing
import sys

import numpy as np
import pytest
import torch
from scipy.special import expit

from bidsclf.errors import ConfigError, InputError
from bidsclf.models._classifier import TorchClassifier
from bidsclf.models._progress import CLEAR, shown
from bidsclf.models._regions import Muted, dead_regions
from bidsclf.models._rows import Series
from bidsclf.models._training import Losses, Training
from bidsclf.models.meanmlp import MeanMLP

Y = np.tile([0, 1], 12)


class Volumes:
    """Every volume of every person, its mask, and whether it is the first."""

    def __init__(self, rows):
        lengths = [len(row) for row in rows]
        self.person = np.repeat(np.arange(len(rows)), lengths)
        self.volumes = np.concatenate(list(rows))

    def __len__(self):
        return len(self.person)

    def batch(self, which):
        mask = torch.ones(len(which), self.volumes.shape[1], dtype=torch.bool)
        return torch.from_numpy(self.volumes[which]), mask, [1] * len(which)


class Line(torch.nn.Module):
    """The same line for every volume; knows what it was shown."""

    def __init__(self, width, *, gain=1.0):
        super().__init__()
        if not gain > 0:
            raise ConfigError(f"gain is {gain}; it takes more than 0.")
        self.line, self.gain, self.seen = torch.nn.Linear(width, 2), gain, []

    samples = staticmethod(Volumes)

    def forward(self, batch):
        volumes, mask, _ = batch
        self.seen.append(volumes.clone())
        assert mask.all()
        return self.gain * self.line(volumes)

    def loss(self, batch, y, weight):
        logits = self(batch)
        each = torch.nn.functional.cross_entropy(logits, y, reduction="none")
        return Losses((weight * each).mean(), logits, {})


def series(seed: int = 0, dead: tuple[int, ...] = ()) -> Series:
    rng = np.random.default_rng(seed)
    made = [rng.normal(size=(rng.integers(2, 9), 5)) + 0.5 * y for y in Y]
    for one in made:
        one[:, dead] = rng.normal()
    return Series.of([one.astype(np.float32) for one in made])


def classifier(network=Line, **settings) -> TorchClassifier:
    training = Training(n_epochs=3, learning_rate=0.05)
    return TorchClassifier(network, training, seed=2, **settings)


def odds_of(model, row) -> np.ndarray:
    with torch.no_grad():
        logits = model.network.gain * model.network.line(torch.from_numpy(row)).double()
    return (logits[:, 1] - logits[:, 0]).numpy()


def test_a_score_is_the_mean_probability_or_the_share_of_positive_samples():
    x, valid = series(), series(1)
    mean = classifier().fit(x, Y, (valid, Y))
    share = classifier(score="share").fit(x, Y, (valid, Y))
    odds = [odds_of(mean, row) for row in valid]
    means = [expit(one).mean() for one in odds]
    np.testing.assert_allclose(mean.predict_score(valid), means, rtol=1e-6)
    positive = np.array([(one > 0).sum() for one in odds])
    counts = np.array([len(one) for one in odds])
    smoothed = (positive + 0.5) / (counts + 1)
    np.testing.assert_allclose(share.predict_score(valid), smoothed)
    told, truth = share.held_out()
    np.testing.assert_allclose(expit(told), smoothed)
    np.testing.assert_array_equal(truth, Y)
    assert mean.predict_score(valid[np.empty(0, int)]).shape == (0,)
    assert share.predict_score(valid[np.empty(0, int)]).shape == (0,)


def test_score_and_log_odds_rank_people_of_any_length_alike():
    """9 of 10 volumes are a larger share than 89 of 99, and less certain."""
    rows = [np.ones((n, 5), np.float32) for n in (10, 99)]
    rows[0][0], rows[1][:10] = -1, -1
    model = classifier(score="share").fit(series(), Y)
    with torch.no_grad():
        model.network.line.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 5))
        model.network.line.bias.zero_()
    x = Series.of(rows)
    found = model.predict_score(x)
    np.testing.assert_allclose(found, [9.5 / 11, 89.5 / 100])
    np.testing.assert_allclose(expit(model.decide(x)), found)


def test_a_tie_counts_half():
    model = classifier(score="share").fit(series(), Y)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.zero_()
    np.testing.assert_array_equal(model.predict_score(series(1)), np.full(24, 0.5))


def test_validation_weighs_classes_as_training_does():
    y = (np.arange(24) % 4 == 0).astype(int)
    model = classifier(n_epochs=1, learning_rate=1e-30)
    model.fit(series(), y, (series(1), Y))
    n = np.bincount(y, weights=[len(row) for row in series()])
    weight, losses = n.sum() / (2 * n), []
    for row, label in zip(series(1), Y, strict=True):
        odds = odds_of(model, row) * (1 if label else -1)
        losses += (weight[label] * np.logaddexp(0, -odds)).tolist()
    expected = pytest.approx(np.mean(losses), rel=1e-6)
    assert model.history[0]["valid"]["loss"] == expected


def test_a_score_of_another_name_and_settings_out_of_range_are_refused_at_once():
    with pytest.raises(ConfigError, match="score is 'median'; it is mean or share"):
        classifier(score="median")
    with pytest.raises(ConfigError, match="gain is -1; it takes more than 0"):
        classifier(gain=-1)
    with pytest.raises(ConfigError, match="batch_size is 0"):
        classifier(batch_size=0)
    with pytest.raises(ConfigError, match=r"dropout is 1\.0; it takes at least 0"):
        classifier(MeanMLP, dropout=1.0)


class Embedding(Line):
    """A network that says what its last layer reads."""

    def embed(self, batch):
        return self.line(batch[0])


class Solid(Line):
    """A network with a 3D convolution, whose bf16 slopes on a CPU are wrong."""

    def __init__(self, width, *, gain=1.0):
        super().__init__(width, gain=gain)
        self.solid = torch.nn.Conv3d(1, 1, 2)


def test_bf16_is_refused_where_its_gradients_are_wrong():
    message = "bf16 and the network is trained on a CPU.* Take precision=auto"
    with pytest.raises(ConfigError, match=message):
        classifier(Solid, precision="bf16").fit(series(), Y)
    for network, precision in ((Solid, "auto"), (Solid, "float32"), (Line, "bf16")):
        assert classifier(network, precision=precision).fit(series(), Y).history


def test_embeddings_are_float32_whatever_the_precision():
    x = series()
    model = classifier(Embedding, precision="bf16").fit(x, Y)
    found = model.embed(x)
    with torch.no_grad():
        each = [model.network.line(torch.from_numpy(row)).mean(dim=0) for row in x]
    np.testing.assert_allclose(found, np.array(each), rtol=1e-5, atol=1e-6)


def test_people_that_stop_training_may_come_in_any_order():
    x, valid = series(), series(1)
    order = np.random.default_rng(3).permutation(len(Y))
    one = classifier().fit(x, Y, (valid, Y))
    other = classifier().fit(x, Y, (valid[order], Y[order]))
    assert one.history == other.history  # to the last bit
    np.testing.assert_array_equal(one.held_out()[0][order], other.held_out()[0])


def test_settings_named_as_the_training_s_are_its_and_others_the_network_s():
    model = classifier(n_epochs=2, gain=0.5)
    assert model.training == Training(n_epochs=2, learning_rate=0.05)
    assert copy.deepcopy(model).fit(series(), Y).network.gain == 0.5


def test_making_a_model_leaves_the_global_random_state_alone():
    state = torch.get_rng_state()
    classifier()
    assert torch.equal(torch.get_rng_state(), state)


def test_regions_are_dead_that_are_constant_in_every_training_row():
    x, valid = series(dead=(1, 3)), series(1)
    assert dead_regions(x).tolist() == [1, 3]
    partly = Series.of([*x, *series(2, dead=(3,))])
    assert dead_regions(partly).tolist() == [3]
    assert dead_regions(partly[np.arange(24)]).tolist() == [1, 3]
    assert dead_regions(np.zeros((4, 3))).tolist() == []
    model = classifier().fit(x, Y, (valid, Y))
    assert model.notes()["n_dead_regions"] == 2
    assert all((batch[:, [1, 3]] == 0).all() for batch in model.network.seen)
    assert not all((batch[:, [0]] == 0).any() for batch in model.network.seen)


def test_what_a_dead_region_does_in_new_people_means_nothing(tmp_path):
    x, new = series(dead=(4,)), series(1)
    model = classifier(score="share").fit(x, Y)
    before = model.predict_score(new)
    changed = new.volumes.copy()
    changed[:, 4] *= -100
    other = Series(changed, new.ends, new.rows)
    np.testing.assert_array_equal(model.predict_score(other), before)
    again = classifier().load(tmp_path, model.save(tmp_path))
    np.testing.assert_array_equal(again.predict_score(other), before)
    assert again.score == "share"


def test_only_floats_with_regions_last_are_muted():
    class Odd:
        person, length = np.arange(2), 7

        def batch(self, which):
            return (
                torch.ones(2, 7, 3), torch.ones(2, 3, dtype=torch.int64),
                torch.ones(3, 2), torch.ones(2, 3), [3, 3],
            )  # fmt: skip

    muted = Muted(Odd(), np.array([1]), 3)
    assert muted.length == 7
    found = muted.batch(np.arange(2))
    assert found[0].sum() == 2 * 7 * 2
    assert found[1].sum() == 6
    assert found[2].sum() == 6
    assert found[3].sum() == 4
    assert found[4] == [3, 3]


def test_rows_are_never_written_to():
    x = series(dead=(2,))
    before = x.volumes.copy()
    classifier().fit(x, Y)
    np.testing.assert_array_equal(x.volumes, before)


def test_weights_of_another_network_are_refused(tmp_path):
    model = classifier().fit(series(), Y)
    settings = model.save(tmp_path)
    with pytest.raises(InputError, match="does not fit this version's network"):
        classifier().load(tmp_path, settings | {"width": 6})


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_one_line_that_is_wiped_at_the_end(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "60")
    model = classifier()
    model.show_as("line, repeat 1, fold 2")
    model.fit(series(), Y, (series(1), Y))
    lines = screen.getvalue().split(CLEAR)
    assert lines[0] == lines[-1] == ""
    assert len(lines) == 2 + 3
    assert lines[3].startswith("line, repeat 1, fold 2: epoch 3 of 3: train loss 0.")
    assert "\n" not in screen.getvalue()
    assert max(map(len, lines)) < 60


@pytest.mark.parametrize("where", ["log", "worker"])
def test_a_log_and_a_worker_are_told_nothing(monkeypatch, where):
    screen = io.StringIO() if where == "log" else Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    if where == "worker":
        monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    with shown("a fit") as watch:
        assert watch is None
    assert screen.getvalue() == ""
