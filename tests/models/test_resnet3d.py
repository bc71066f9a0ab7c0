"""Networks of volumes: their layers, their sizes, and time that is folded away."""

import numpy as np
import pytest
import torch
from torch import nn

from bidsclf.errors import ConfigError, FitError
from bidsclf.models._base import find, variants
from bidsclf.models._blocks import fold, max_pool, recomputed, unfold
from bidsclf.models._crops import Crops
from bidsclf.models._volumes import Volumes
from bidsclf.models.cnnlstm import standardized
from bidsclf.models.resnet3d import ResNet3D, Stem

BLOCKS = {"a": (1, 1, 1, 1), "b": (2, 2, 2, 2), "c": (3, 4, 6, 3), "d": (3, 4, 6, 3)}
PARAMETERS = {"a": 897_360, "b": 2_073_360, "c": 3_969_104, "d": 2_893_712}
HARA = {"a": 14.3, "b": 33.1, "c": 63.4, "d": 46.1}  # million, at width 64
RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU}
GATES = {"lstm": 4, "gru": 3}
VOLUMES = sorted(name for name, one in variants().items() if one.input == "volume")


def volumes(n=3, n_steps=4, shape=(9, 8, 10), seed=0):
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.normal(size=(n, n_steps, *shape)).astype(np.float32))
    return x, torch.full((n,), n_steps)


def network(name, **settings):
    """Return an untrained network of a variant."""
    torch.manual_seed(0)
    model = find(name).make(**({"width": 4} | settings))
    model._build(10)
    return model.network


def expected_layers(depth, width=16):
    """Return name, kernel, stride and channels of each convolution, from METHODS."""
    layers = [("stem.conv1", 3, 2, 1, width)]
    before = width
    for stage, n_blocks in enumerate(BLOCKS[depth]):
        inner = width * 2**stage
        out = inner * (4 if depth == "d" else 1)
        for place in range(n_blocks):
            at = f"layer{stage + 1}.{place}"
            stride = 2 if stage and not place else 1
            if depth == "d":
                layers += [
                    (f"{at}.conv1", 1, 1, before, inner),
                    (f"{at}.conv2", 3, stride, inner, inner),
                    (f"{at}.conv3", 1, 1, inner, out),
                ]
            else:
                layers += [
                    (f"{at}.conv1", 3, stride, before, inner),
                    (f"{at}.conv2", 3, 1, inner, inner),
                ]
            if before != out:
                layers.append((f"{at}.downsample.0", 1, stride, before, out))
            before = out
    return layers


@pytest.mark.parametrize("cell", RECURRENT)
@pytest.mark.parametrize("depth", BLOCKS)
def test_each_variant_has_the_layers_of_the_methods_by_name(depth, cell):
    model = find(f"resnet3d-{depth}-bi{cell}").make()
    with torch.device("meta"):
        made = model.make(34, **model.settings)
    found = [
        (name, m.kernel_size[0], m.stride[0], m.in_channels, m.out_channels)
        for name, m in made.cnn.named_modules()
        if isinstance(m, nn.Conv3d)
    ]
    assert found == expected_layers(depth)
    convolutions = [m for m in made.modules() if isinstance(m, nn.Conv3d)]
    assert all(m.bias is None for m in convolutions)
    norms = [m for m in made.modules() if isinstance(m, nn.BatchNorm3d)]
    assert len(norms) == len(convolutions)
    assert type(made.brnn.rnn) is RECURRENT[cell]
    assert made.brnn.rnn.bidirectional
    assert made.brnn.rnn.hidden_size == 64
    assert (made.dense.in_features, made.dense.out_features) == (128, 1)


@pytest.mark.parametrize("cell", RECURRENT)
@pytest.mark.parametrize("depth", BLOCKS)
def test_each_variant_has_the_parameters_of_the_methods(depth, cell):
    model = find(f"resnet3d-{depth}-bi{cell}").make()
    with torch.device("meta"):
        made = model.make(34, **model.settings)
    assert count(made.cnn) == PARAMETERS[depth]
    n_features = 512 if depth == "d" else 128
    recurrent = 2 * GATES[cell] * 64 * (n_features + 64 + 2)
    assert count(made) == PARAMETERS[depth] + recurrent + 128 + 1


@pytest.mark.parametrize("depth", BLOCKS)
def test_width_64_gives_the_sizes_of_hara(depth):
    with torch.device("meta"):
        wide = ResNet3D(depth, 64)
    assert count(wide) / 1e6 == pytest.approx(HARA[depth], abs=0.05)


def count(module):
    return sum(one.numel() for one in module.parameters())


@pytest.mark.parametrize("depth", BLOCKS)
@pytest.mark.parametrize("cell", RECURRENT)
def test_time_in_the_batch_gives_what_a_loop_over_time_gives(depth, cell):
    made = network(f"resnet3d-{depth}-bi{cell}")
    x, lengths = volumes()
    x += torch.arange(3).view(3, 1, 1, 1, 1)
    stir(made, (x, lengths))
    with torch.no_grad():
        steps = torch.stack([made.cnn(x[:, t : t + 1]) for t in range(4)], dim=1)
        looped = made.dense(made.brnn(steps, lengths))[:, 0]
        folded = made((x, lengths))[:, 1]
        swapped = made.dense(made.brnn(steps.flip(0), lengths))[:, 0]
    assert (swapped - looped).abs().max() > 1e-3  # people differ by more than that
    torch.testing.assert_close(folded, looped, rtol=1e-5, atol=1e-5)


def stir(made, batch):
    """Give batch norms the past that training gives them; then judge."""
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            part.momentum = 1.0
    with torch.no_grad():
        made.train().embed(batch)
    made.eval()


@pytest.mark.parametrize("name", VOLUMES)
def test_what_stands_after_the_end_of_a_scan_is_never_read(name):
    made = network(name).eval()
    x, lengths = volumes()
    lengths[1] = 2
    other = x.clone()
    other[1, 2:] = 100.0
    alone = made((x[1:2, :2], lengths[1:2]))
    torch.testing.assert_close(made((other, lengths)), made((x, lengths)))
    torch.testing.assert_close(made((other, lengths))[1:2], alone)
    made.train()
    made.dropout.p = 0.0
    torch.testing.assert_close(made((other, lengths)), made((x, lengths)))


@pytest.mark.parametrize("name", [name for name in VOLUMES if "3d-b" not in name])
def test_only_a_variant_that_says_so_sees_the_order_of_volumes(name):
    made = network(name)
    x, lengths = volumes(n_steps=6)
    stir(made, (x, lengths))
    x = x + torch.linspace(-1, 1, 6)[None, :, None, None, None] * (x[:1, :1] > 0)
    here, there = made((x, lengths)), made((x.flip(1), lengths))
    assert find(name).sees_order == (not torch.allclose(here, there, atol=1e-6))


def test_folding_leaves_out_what_is_after_the_end_and_comes_back():
    x, lengths = volumes(shape=(2, 2, 2))
    assert fold(x, lengths).data_ptr() == x.data_ptr()  # a view
    lengths = torch.tensor([4, 1, 3])
    x[1, 1:] = x[2, 3:] = 0
    flat = fold(x, lengths)
    assert len(flat) == 8
    torch.testing.assert_close(flat[4], x[1, 0])
    torch.testing.assert_close(unfold(flat, lengths), x)


@pytest.mark.parametrize("shape", [(9, 8, 7), (2, 1, 3), (17, 17, 17)])
def test_pooling_a_plane_and_then_a_line_gives_torch_s_maxima(shape):
    x = torch.randn(2, 3, *shape, requires_grad=True)
    theirs = nn.functional.max_pool3d(x, 3, 2, 1)
    torch.testing.assert_close(max_pool(x), theirs, rtol=0, atol=0)
    gradient = torch.randn_like(theirs)
    expected = torch.autograd.grad(theirs, x, gradient)[0]
    found = torch.autograd.grad(max_pool(x), x, gradient)[0]
    torch.testing.assert_close(found, expected)


def test_what_is_computed_again_has_the_same_gradients_and_running_means():
    torch.manual_seed(0)
    plain, again = ResNet3D("a", 4).layer2, ResNet3D("a", 4).layer2
    again.load_state_dict(plain.state_dict())
    x = torch.randn(5, 4, 4, 4, 4, requires_grad=True)
    for block, run in ((plain, plain), (again, lambda x: recomputed(again, x))):
        block.train()
        run(x).square().sum().backward()
        block.seen, x.grad = x.grad, None
    torch.testing.assert_close(again.seen, plain.seen)
    for one, two in zip(again.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, msg=name)


@pytest.mark.parametrize("n", [33, 70])  # more than are there at once
def test_the_lean_stem_is_the_plain_one(n):
    torch.manual_seed(0)
    lean, plain = Stem(3).double(), Stem(3).double()
    with torch.no_grad():
        lean.bn1.weight.copy_(torch.tensor([1.5, -0.7, 0.2]))
        lean.bn1.bias.copy_(torch.tensor([0.1, 0.3, -0.2]))
    plain.load_state_dict(lean.state_dict())
    x = 2 + torch.randn(n, 1, 7, 8, 9, dtype=torch.float64)
    here, there = lean(x), plain.plain(x)
    torch.testing.assert_close(here, there)
    assert (here > 0).any(dim=4).any(dim=3).any(dim=2).any(dim=0).all()
    gradient = torch.randn_like(here)
    here.backward(gradient)
    there.backward(gradient)
    for one, two in zip(lean.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(lean.state_dict()[name], tensor, msg=name)


def test_a_voxel_is_standardized_over_the_volumes_that_count():
    x, lengths = volumes(shape=(3, 2, 2))
    x = 5 + 3 * x
    lengths[1] = 3
    x[0, :, 0, 0, 0] = 7.3
    found = standardized(x, lengths).numpy()
    part = x[1, :3].numpy().astype(np.float64)
    expected = (part - part.mean(0)) / part.std(0)
    np.testing.assert_allclose(found[1, :3], expected, atol=1e-5)
    assert (found[1, 3:] == 0).all()
    assert (found[0, :, 0, 0, 0] == 0).all()


def test_slopes_are_finite_where_a_voxel_does_not_vary():
    x, lengths = volumes(shape=(3, 2, 2))
    x[:, :, 0] = 0  # outside the brain
    x[0, :, 1, 0, 0] = 7.3
    x.requires_grad_()
    standardized(x, lengths).square().sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad[:, :, 0] == 0).all()
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    x.grad = None
    (standardized(x, lengths) * weights).sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad[:, :, 1:] != 0).any()


@pytest.mark.parametrize("name", VOLUMES)
def test_an_embedding_is_what_the_last_layer_reads(name):
    rng = np.random.default_rng(0)
    scans = [rng.normal(size=(n, 6, 6, 6)).astype(np.float32) for n in (5, 8, 6, 7)]
    rows = Volumes.of(scans)
    settings = {"width": 2, "n_steps": 4, "pick": "crops", "n_epochs": 1}
    if "n_hidden" in find(name).settings:
        settings["n_hidden"] = 3
    model = find(name).make(**settings).fit(rows, np.array([0, 1, 0, 1]))
    embedded = model.embed(rows)
    assert embedded.dtype == np.float32
    samples = model.samples(rows)
    assert len(samples) > 4  # several of a person, which are averaged
    with torch.no_grad():
        each = model.network.embed(samples.batch(np.arange(len(samples)))).numpy()
    for person in range(4):
        mean = each[samples.person == person].mean(axis=0)
        np.testing.assert_allclose(embedded[person], mean, rtol=1e-4, atol=1e-6)
    alone = model.embed(rows[np.array([2])])
    np.testing.assert_allclose(alone, embedded[[2]], rtol=1e-4, atol=1e-6)


def test_a_network_without_an_embedding_says_so():
    model = find("meanmlp").make()
    model._build(3)
    with pytest.raises(FitError, match=r"MeanMLP has no embedding.*--harmonize none"):
        model.embed([])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"width": 0}, "width is 0; it takes 1 or more"),
        ({"n_hidden": 0}, "n_hidden is 0; it takes 1 or more"),
        ({"dropout": 1.0}, r"dropout is 1.0; it lies in \[0, 1\)"),
        ({"pick": "odd"}, "pick is 'odd'; it is even or middle or crops"),
        ({"n_steps": -1}, "n_steps is -1; it takes 0 or more"),
    ],
)
def test_a_setting_out_of_range_is_refused(bad, message):
    with pytest.raises(ConfigError, match=message):
        find("resnet3d-a-bilstm").make(**bad)


class Killed(BaseException):
    """Stands for a signal."""


def test_a_training_that_was_killed_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    scans = [rng.normal(size=(6, 6, 6, 6)).astype(np.float32) for _ in range(8)]
    rows, y = Volumes.of(scans), np.tile([0, 1], 4)
    settings = {"width": 2, "n_steps": 4, "n_hidden": 3, "n_epochs": 4, "batch_size": 4}

    def model():
        return find("resnet3d-a-bigru").make(**settings, monitor="last")

    straight = model().fit(rows, y)
    killed, again, batch, calls = model(), model(), Crops.batch, []

    def dying(self, which):
        calls.append(1)
        if len(calls) == 6:  # the second step of the third epoch
            raise Killed
        return batch(self, which)

    killed.keep_in(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Crops, "batch", dying)
        with pytest.raises(Killed):
            killed.fit(rows, y)
    steps = []
    monkeypatch.setattr(Crops, "batch", lambda *a: steps.append(1) or batch(*a))
    again.keep_in(tmp_path)
    again.fit(rows, y)
    assert len(steps) == 4  # two epochs of two steps
    np.testing.assert_array_equal(again.decide(rows), straight.decide(rows))
    for name, tensor in straight.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor), name
