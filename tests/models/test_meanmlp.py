"""meanmlp against a loop over people, and the loop that trains it."""

import copy

import numpy as np
import pytest
import torch

from bidsclf.errors import FitError
from bidsclf.models._classifier import TorchClassifier
from bidsclf.models._rows import Series
from bidsclf.models._training import Training
from bidsclf.models.meanmlp import ByteDropout, MeanMLP

Y = np.tile([0, 1], 12)


def series(seed: int = 0) -> Series:
    rng = np.random.default_rng(seed)
    made = [rng.normal(size=(rng.integers(2, 12), 4)) + 0.5 * label for label in Y]
    return Series.of([one.astype(np.float32) for one in made])


def classifier(**settings) -> TorchClassifier:
    torch.set_num_threads(1)
    return TorchClassifier(MeanMLP, Training(**{"n_epochs": 6} | settings), seed=4)


def test_equals_a_loop_over_people_and_volumes():
    torch.manual_seed(0)
    network, x = MeanMLP(4).eval(), series()
    linear, norm = network.body[0], network.body[1]
    w, b = (p.detach().numpy().astype(float) for p in (linear.weight, linear.bias))
    g, c = (p.detach().numpy().astype(float) for p in (norm.weight, norm.bias))
    v, d = (p.detach().numpy().astype(float) for p in network.head.parameters())
    expected = []
    for person in x:
        logits = []
        for volume in person:
            h = w @ volume + b
            h = g * (h - h.mean()) / np.sqrt(h.var() + norm.eps) + c
            logits.append(v @ np.maximum(h, 0) + d)
        expected.append(np.mean(logits, axis=0))
    batch = MeanMLP.samples(x).batch(np.arange(len(x)))
    np.testing.assert_allclose(network(batch).detach().numpy(), expected, atol=1e-5)


def test_dropout_drops_its_share_keeps_the_mean_and_rests_in_evaluation():
    torch.manual_seed(0)
    dropout, ones = ByteDropout(0.49), torch.ones(1001, 99)
    dropped = dropout(ones)
    assert (dropped == 0).double().mean() == pytest.approx(125 / 256, abs=0.005)
    assert dropped.mean() == pytest.approx(1, abs=0.01)
    assert torch.equal(dropout.eval()(ones), ones)


def test_the_class_weights_make_classes_count_the_same():
    network, x = MeanMLP(4).eval(), series()
    batch = MeanMLP.samples(x).batch(np.array([0, 1, 3, 5]))
    y = torch.tensor([0, 1, 1, 1])
    weighted = network.loss(batch, y, torch.tensor([2.0, 2 / 3, 2 / 3, 2 / 3])).total
    each = torch.nn.functional.cross_entropy(network(batch), y, reduction="none")
    torch.testing.assert_close(weighted, (each[0] + each[1:].mean()) / 2)


def test_keeps_the_weights_of_the_best_epoch_and_stops():
    x, wrong = series(), 1 - Y
    model = classifier(n_epochs=200, patience=3, learning_rate=1e-2)
    model.fit(x, Y, (x, wrong))
    losses = [epoch["valid"]["loss"] for epoch in model.history]
    assert model.epoch == 1 + int(np.argmin(losses))
    assert len(losses) == model.epoch + 3
    kept = copy.deepcopy(model.network.state_dict())
    short = classifier(n_epochs=model.epoch, learning_rate=1e-2).fit(x, Y)
    for name, tensor in short.network.state_dict().items():
        torch.testing.assert_close(kept[name], tensor)


def test_the_validation_part_is_held_out_with_the_kept_weights():
    x, valid = series(), series(1)
    model = classifier(n_epochs=20, learning_rate=1e-2).fit(x, Y, (valid, 1 - Y))
    logits, truth = model.held_out()
    np.testing.assert_array_equal(truth, 1 - Y)
    np.testing.assert_array_equal(logits, model.decide(valid))
    expected = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(model.predict_score(valid), expected)
    assert classifier().fit(x, Y).held_out() is None


def test_training_leaves_the_global_random_state_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    classifier().fit(series(), Y)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_that_is_not_finite_names_the_epoch():
    x = series()
    huge = Series(x.volumes * np.float32(1e37), x.ends, x.rows)
    with pytest.raises(FitError, match=r"train loss is nan at epoch 1 \(learning"):
        classifier().fit(huge, Y)
