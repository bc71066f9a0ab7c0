"""rsnlstm against its equations, volume by volume, and what padding may change."""

import warnings

import numpy as np
import pytest
import torch

from bidsclf.errors import ConfigError
from bidsclf.models._base import find
from bidsclf.models._rows import Series
from bidsclf.models.rsnlstm import RSNLSTM, DroppedLSTM, Padded, _in_one_piece, halved

R = 5
Y = np.tile([0, 1], 6)


def series(seed: int = 0, n: int = 12, longest: int = 15) -> Series:
    rng = np.random.default_rng(seed)
    lengths = [longest, *rng.integers(3, longest, size=n - 1)]
    return Series.of([rng.normal(size=(t, R)).astype(np.float32) for t in lengths])


def network(n_volumes: int = 0, **settings) -> RSNLSTM:
    torch.manual_seed(0)
    made = RSNLSTM(R, **settings).eval()
    made.n_volumes.fill_(n_volumes)
    return made


def logits(made: RSNLSTM, x: Series) -> np.ndarray:
    scans, counts = made.samples(x).batch(np.arange(len(x)))
    with torch.inference_mode():
        told = made((scans.to(made.dense.weight.dtype), counts)).double().numpy()
    assert (told[:, 0] == 0).all()
    return told[:, 1]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def states(layer: DroppedLSTM, scan: np.ndarray) -> np.ndarray:
    """The equations of an LSTM (gates in torch's order), one volume at a time."""
    w, u = layer.weight_ih_l0.detach().numpy(), layer.weight_hh_l0.detach().numpy()
    b = (layer.bias_ih_l0 + layer.bias_hh_l0).detach().numpy()
    h = c = np.zeros(layer.hidden_size)
    told = []
    for volume in scan:
        i, f, g, o = np.split(w @ volume + u @ h + b, 4)
        c = sigmoid(i) * np.tanh(g) + sigmoid(f) * c
        h = sigmoid(o) * np.tanh(c)
        told.append(h)
    return np.array(told)


def expected(made: RSNLSTM, scan: np.ndarray) -> float:
    values = scan.astype(float)
    for layer in made.layers:
        values = states(layer, values)
    pooled = values[-1] if made.pool == "last" else values.mean(axis=0)
    weight, bias = (p.detach().numpy() for p in made.dense.parameters())
    return float(weight[0] @ pooled + bias[0])


@pytest.mark.parametrize("pool", ["last", "mean"])
@pytest.mark.parametrize("units", [(), (4, 3, 3, 2)])
def test_equals_the_equations_on_each_scan_alone(units, pool):
    made, x = network(units=units, pool=pool).double(), series()
    alone = [expected(made, scan) for scan in x]
    np.testing.assert_allclose(logits(made, x), alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_without_a_mask_the_zeros_after_a_scan_are_read(pool):
    made, x = network(12, mask=False, pool=pool).double(), series()
    padded = [np.pad(one, ((0, max(0, 12 - len(one))), (0, 0))) for one in x]
    alone = [expected(made, scan) for scan in padded]  # the scan of 15 stays whole
    np.testing.assert_allclose(logits(made, x), alone, rtol=0, atol=1e-6)
    masked = logits(network(12, pool=pool).double(), x)
    assert np.abs(masked - alone).max() > 1e-3


@pytest.mark.parametrize("mask", [True, False])
def test_a_scan_scores_the_same_alone_and_beside_longer_ones(mask):
    made, x = network(9, mask=mask, units=(6, 4)), series(longest=40)
    crowd = logits(made, x)
    for row in range(len(x)):
        alone = logits(made, x[np.array([row])])
        np.testing.assert_allclose(alone, crowd[[row]], rtol=0, atol=1e-6)


def test_with_a_mask_the_training_length_means_nothing():
    x = series()
    np.testing.assert_array_equal(logits(network(99), x), logits(network(0), x))


def test_scans_are_padded_at_the_end_with_zeros_to_the_length_asked_for():
    x = series(n=3, longest=6)
    scans, counts = Padded(x, 8).batch(np.array([2, 0]))
    assert scans.shape == (2, 8, R)
    assert counts.tolist() == [8, 8]
    for scan, row in zip(scans.numpy(), (2, 0), strict=True):
        own = next(iter(x[np.array([row])]))
        np.testing.assert_array_equal(scan[: len(own)], own)
        assert (scan[len(own) :] == 0).all()
    scans, counts = Padded(x, 0).batch(np.array([0, 1]))
    assert scans.shape[1] == counts.max() == 6
    assert counts[1] < 6


def test_the_length_is_the_longest_scan_of_the_training_and_is_kept(tmp_path):
    make, x = find("rsnlstm").make, series()
    quick = {"n_epochs": 1, "mask": False}
    model = make(**quick).fit(x, Y, (series(1, longest=20), Y))
    assert int(model.network.n_volumes) == 15
    again = make(**quick).load(tmp_path, model.save(tmp_path))
    assert int(again.network.n_volumes) == 15
    new = series(2, longest=30)
    np.testing.assert_array_equal(again.predict_score(new), model.predict_score(new))


def test_the_variants_have_the_layers_of_the_text_and_of_the_notebook():
    for name, sizes in {
        "rsnlstm": [70, 35, 18],
        "rsnlstm-notebook": [70, 60, 50, 40],
    }.items():
        model = find(name).make()
        made = model.make(70, **model.settings)
        assert [layer.hidden_size for layer in made.layers] == sizes
        shares = {layer.shares for layer in made.layers}
        assert shares == {(0.4, 0.15)}
    assert [halved(n) for n in (1, 5, 200)] == [(1, 1, 1), (5, 3, 2), (200, 100, 50)]


def test_weights_start_as_those_of_keras_and_one_bias_is_learned():
    layer = DroppedLSTM(R, 4, (0.0, 0.0))
    gates = layer.bias_ih_l0.detach().reshape(4, 4).mean(dim=1)
    assert gates.tolist() == [0, 1, 0, 0]  # i, f, c, o: forget gates start open
    assert not layer.bias_hh_l0.any()
    assert not layer.bias_hh_l0.requires_grad
    own = layer.weight_hh_l0.detach()
    torch.testing.assert_close(own.T @ own, torch.eye(4))


def test_inputs_are_dropped_by_region_for_a_whole_scan():
    torch.manual_seed(0)
    layer = DroppedLSTM(R, 4, (0.5, 0.0)).train()
    x = torch.ones(200, 3, R)
    told = layer(x).detach()
    drawn = torch.unique(told.round(decimals=5), dim=0)
    assert len(drawn) == 2**R  # every pattern of kept regions gives one course
    whole = layer.eval()(torch.full((1, 3, R), 2.0)).detach()  # all kept, scaled up
    assert (drawn - whole).abs().amax(dim=(1, 2)).min() < 1e-5


def test_recurrent_weights_are_dropped_and_come_back():
    torch.manual_seed(0)
    layer = DroppedLSTM(R, 4, (0.0, 0.5)).train()
    own, x = layer.weight_hh_l0.detach().clone(), torch.randn(2, 6, R)
    first, second = layer(x), layer(x)
    torch.testing.assert_close(first[:, 0], second[:, 0])  # nothing came before
    assert not torch.equal(first[:, 1], second[:, 1])
    first.sum().backward()
    slope = layer.weight_hh_l0.grad
    assert ((slope == 0).double().mean() - 0.5).abs() < 0.25
    assert torch.equal(layer.weight_hh_l0, own)
    layer.eval()
    torch.testing.assert_close(layer(x), layer(x))
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
    torch.testing.assert_close(layer.train()(x), layer(x))


def test_weights_for_a_gpu_lie_end_to_end_and_pass_the_slopes_on():
    layer = DroppedLSTM(R, 4, (0.0, 0.0))
    own = [p.double() for p in layer.parameters()]
    copies = _in_one_piece(own)
    first = copies[0].storage_offset()
    for one, copy in zip(own, copies, strict=True):
        assert torch.equal(one, copy)
        assert copy.storage_offset() == first
        first += copy.numel()
    sum((copy**2).sum() for copy in copies).backward()
    torch.testing.assert_close(layer.weight_hh_l0.grad, 2 * layer.weight_hh_l0)


@pytest.mark.gpu
def test_a_gpu_trains_without_a_warning():
    model = find("rsnlstm").make(device="cuda", n_epochs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = model.fit(series(), Y).predict_score(series())
    assert np.isfinite(scores).all()


def test_training_raises_no_warning_and_learns_the_end_of_a_scan():
    rng = np.random.default_rng(0)
    scans = []
    for label in Y:
        scan = 0.3 * rng.normal(size=(rng.integers(4, 9), R))
        scan[-1] += 2 * label - 1
        scans.append(scan.astype(np.float32))
    model = find("rsnlstm").make(batch_size=4, learning_rate=0.02, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = model.fit(Series.of(scans), Y).predict_score(Series.of(scans))
    assert ((scores > 0.5) == Y).all()


def test_the_loss_is_the_binary_cross_entropy_weighted_by_person():
    made, x = network(), series(n=4)
    batch = made.samples(x).batch(np.arange(4))
    y, weight = np.array([0, 1, 1, 0]), np.array([1.0, 2.0, 0.5, 1.0])
    losses = made.loss(batch, torch.tensor(y), torch.tensor(weight).float())
    p = sigmoid(logits(made, x))
    each = -np.log(np.where(y == 1, p, 1 - p))
    assert losses.total.item() == pytest.approx((weight * each).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"units": (9, 0)}, "units is 9,0; every layer takes 1 or more"),
        ({"pool": "max"}, "pool is 'max'; it is last or mean"),
        ({"dropout": 1.0}, r"^dropout is 1.0; it lies in \[0, 1\)"),
        ({"recurrent_dropout": 2.0}, "recurrent_dropout is 2.0; it lies"),
    ],
)
def test_refuses_settings_out_of_range(settings, match):
    with pytest.raises(ConfigError, match=match):
        find("rsnlstm").make(**settings)
