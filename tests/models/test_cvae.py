"""Contrastive and plain autoencoders of maps, against the equations written out."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from bidsclf.config import HarmonizeConfig
from bidsclf.crossval import Recipe, fit_fold, permute_fold
from bidsclf.errors import ConfigError, FitError, InputError
from bidsclf.folds import Fold
from bidsclf.models._base import find
from bidsclf.models._codec import Layers, _interleaved, _pooled
from bidsclf.models._contrast import Contrast, Terms
from bidsclf.models._head import LinearHead
from bidsclf.models._independence import dependence, discrepancy
from bidsclf.models._latents import TRAINING, ContrastClassifier
from bidsclf.models._loop import learn
from bidsclf.models._pairs import Maps, Paired
from bidsclf.models._rows import load_rows, save_rows
from bidsclf.models._settings import read_settings
from bidsclf.models._training import Part
from bidsclf.models._volumes import Volumes

SIZE = 8
PUBLISHED_TERMS = Terms(correlation="published", gamma=100, controls_first=0)
SMALL = {"width": 4, "n_hidden": 16, "n_epochs": 3, "batch_size": 8}
APART = {how: ("correlation", "discriminator") for how in ("published", "adversarial")}
APART["matched"] = ("dependence", "discrepancy")
LITTLE = {"cvae": SMALL | {"n_background": 3, "n_salient": 2}}
LITTLE["vae"] = SMALL | {"n_latent": 5}


def made(name="cvae", **changed):
    return find(name).make(**LITTLE[name] | changed)


def study(n=24, seed=0, size=SIZE):
    """Maps of which patients have more in a corner, some of them much more."""
    rng = np.random.default_rng(seed)
    maps = 0.4 + 0.1 * rng.random((n, 1, size, size, size), np.float32)
    y, severity = np.arange(n) % 2, rng.uniform(0, 1, n)
    shared = rng.normal(size=n)
    half = size // 2
    maps[:, 0, half:] += 0.1 * shared[:, None, None, None].astype(np.float32)
    more = (0.1 + 0.4 * severity) * y
    maps[:, 0, :half, :half] += more[:, None, None, None].astype(np.float32)
    return Volumes.of(list(maps)), y, severity, shared


# the loss, against the equations


def network(layers=None, terms=None, n_salient=2, size=SIZE):
    torch.manual_seed(3)
    layers, terms = layers or Layers(width=4, n_hidden=8), terms or PUBLISHED_TERMS
    one = Contrast(size, layers, terms, n_background=3, n_salient=n_salient)
    with torch.no_grad():
        for each in one.parameters():
            each.add_(0.1 * torch.randn_like(each))
    one.start(2.0, torch.rand((size,) * 3), 0.5, 0)
    return one.eval()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def divergence(mean, log_variance):
    variance = np.exp(log_variance)
    return (0.5 * (variance + mean**2 - 1 - log_variance)).sum(axis=1)


def swapped(salient, background):
    """Latents of patients, and with the salient ones of the other half."""
    half = len(salient) // 2
    s, z = salient[: 2 * half], background[: 2 * half]
    others = np.r_[s[half:], s[:half]]
    return np.c_[s, z], np.c_[others, z]


def parts_of(one, x, y):
    """Return the terms of the loss, from what the layers say; numpy from there on.

    And means: the salient ones of patients, the background ones of everyone.
    """
    scaled = x / 2.0
    seen = torch.from_numpy(scaled)
    if one.is_small:
        seen = (seen - one.centre) / one.spread
    z, s = one.background(seen), one.salient(seen)
    z_mean, z_log, s_mean, s_log = (t.double().numpy() for t in (*z, *s))
    told = np.where(y[:, None] == 1, s_mean, 0)
    z, told = torch.from_numpy(z_mean).float(), torch.from_numpy(told).float()
    if one.added is None:
        logits = one.decoder(torch.cat([z, told], dim=1)).double().numpy()
    else:  # the salient part of a control, 0, adds nothing
        added = one.added(told) - one.added(torch.zeros_like(told))
        logits = (one.decoder(z) + added).double().numpy()
    if one.is_small:
        mean = np.clip(one.centre.numpy(), 1e-3, 1 - 1e-3)
        logits = logits + np.log(mean / (1 - mean))
    wrong = 64**3 * ((sigmoid(logits) - scaled) ** 2).mean(axis=(1, 2, 3))
    kl_z, kl_s = divergence(z_mean, z_log), divergence(s_mean, s_log)
    return {
        "reconstruction": wrong[y == 1].mean() + wrong[y == 0].mean(),
        "divergence": kl_z[y == 1].mean() + kl_s[y == 1].mean() + kl_z[y == 0].mean(),
    }, (s_mean[y == 1], z_mean)


@pytest.mark.parametrize(
    "layers", [Layers(width=4, n_hidden=8), Layers(width=4, pool=0)]
)
@torch.no_grad()
def test_the_published_loss_is_the_equations_of_its_terms(layers):
    one = network(layers, replace(PUBLISHED_TERMS, beta=1500, gamma=7e4))
    rng = np.random.default_rng(0)
    x, y = (
        rng.random((9, SIZE, SIZE, SIZE), np.float32),
        np.array([1, 0, 1, 1, 0, 1, 0, 0, 1]),
    )
    found = one.loss((torch.from_numpy(x),), torch.from_numpy(y), None)
    expected, (salient, background) = parts_of(one, x, y)
    own, other = swapped(salient, background[y == 1])
    assert len(own) == len(other) == 4  # of five patients
    layer = one.correlation.told
    weight, bias = layer.weight.numpy()[0], layer.bias.item()
    q, q_bar = (0.85 * (sigmoid(v @ weight + bias) + 0.1) for v in (own, other))
    expected["correlation"] = np.log(q / (1 - q)).mean()
    expected["discriminator"] = (-np.log(q) - np.log(1 - q_bar)).mean()
    parts = {name: value.item() for name, value in found.parts.items()}
    assert parts == pytest.approx(expected, rel=1e-4)
    total = expected["reconstruction"] + 1500 * expected["divergence"]
    total += 7e4 * expected["correlation"] + expected["discriminator"]
    assert found.total.item() == pytest.approx(total, rel=1e-4)
    assert found.logits is None


@pytest.mark.parametrize(
    "layers", [Layers(width=4, n_hidden=8), Layers(width=4, pool=0)]
)
@torch.no_grad()
def test_the_matched_loss_holds_patients_background_against_two(layers):
    one = network(layers, Terms(beta=1500, gamma=7e4))
    assert not hasattr(one, "correlation")  # no discriminator
    rng = np.random.default_rng(0)
    x, y = (
        rng.random((11, SIZE, SIZE, SIZE), np.float32),
        np.array([1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1]),
    )
    found = one.loss((torch.from_numpy(x),), torch.from_numpy(y), None)
    expected, (salient, background) = parts_of(one, x, y)
    seen = torch.from_numpy(x / 2.0)
    if one.is_small:
        seen = (seen - one.centre) / one.spread
    units = [
        np.exp(0.5 * said.log_variance.double().numpy()).mean(axis=0)
        for said in (one.salient(seen[y == 1]), one.background(seen))
    ]
    salient = torch.from_numpy(salient / units[0])
    background = torch.from_numpy(background / units[1])
    own, others = background[y == 1], background[y == 0]
    expected["dependence"] = dependence(salient, own).item()
    expected["discrepancy"] = discrepancy(own, others).item()
    parts = {name: value.item() for name, value in found.parts.items()}
    assert parts == pytest.approx(expected, rel=1e-3)
    total = expected["reconstruction"] + 1500 * expected["divergence"]
    total += 7e4 * (expected["dependence"] + expected["discrepancy"])
    assert found.total.item() == pytest.approx(total, rel=1e-4)


def test_what_keeps_latents_apart_is_of_means_and_teaches_encoders_alone():
    one = network(terms=Terms(gamma=1.0)).train()
    x, y = torch.rand(12, SIZE, SIZE, SIZE), torch.arange(12) % 2
    first, again = (one.loss((x,), y, None).parts for _ in range(2))
    assert first["reconstruction"] != again["reconstruction"]  # of draws
    for name in ("dependence", "discrepancy"):
        assert first[name] == again[name]
        slopes = torch.autograd.grad(
            first[name], list(one.parameters()), allow_unused=True, retain_graph=True
        )
        names = [name for name, _ in one.named_parameters()]
        which = [
            each
            for each, slope in zip(names, slopes, strict=True)
            if slope is not None and slope.abs().sum() > 0
        ]
        assert not any("log_variance" in each for each in which)  # units stay
        moved = {each.partition(".")[0] for each in which}
        both = {"salient", "background"}
        assert moved == (both if name == "dependence" else {"background"})


@torch.no_grad()
def test_people_who_come_twice_do_not_go_together_with_themselves():
    one = network(terms=Terms())
    maps, y = torch.rand(10, SIZE, SIZE, SIZE), torch.arange(10) % 2
    rows = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 3, 6, 2])
    told = one.loss((maps, rows[:10]), y, None).parts
    again = one.loss((maps[rows], rows), y[rows], None).parts
    blind = one.loss((maps[rows],), y[rows], None).parts
    units = {"rel": 0.1}  # SDs are means over all who are in the batch
    for name in APART["matched"]:
        assert again[name].item() == pytest.approx(told[name].item(), **units)
        assert abs(blind[name] - again[name]) > 0.02
        assert again[name] != 0
    assert blind["dependence"] > again["dependence"]
    assert again["reconstruction"] == blind["reconstruction"]


def test_a_batch_of_pairs_tells_its_rows_and_batches_that_are_looked_at_do_not():
    volumes = Volumes.of([np.full((1, 2, 2, 2), at, np.float32) for at in range(6)])
    which = np.array([4, 1, 4])
    sites = np.array(["A", "B", "A", "A", np.nan, "B"], object)
    maps, rows, codes = Paired(volumes, 2, 4, told=sites).batch(which)
    assert codes.tolist() == [2, 1, 2]  # the site that is not known is one of its own
    assert maps[:, 0, 0, 0].tolist() == rows.tolist() == [4, 1, 4]
    assert len(Maps(volumes, 2).batch(which)) == 1


def test_copies_of_a_map_are_one_person_wherever_they_stand():
    numbers = (0, 1, 2, 1, 0, 5)
    volumes = Volumes.of([np.full((1, 2, 2, 2), at, np.float32) for at in numbers])
    _, whose, _ = Paired(volumes, 2, 3).batch(np.array([4, 5, 3, 1, 2, 0]))
    assert whose.tolist() == [0, 5, 1, 1, 2, 0]
    drawn = volumes[np.array([2, 5, 2])]  # as a bootstrap draws
    assert Paired(drawn, 2, 3).batch(np.arange(3))[1].tolist() == [0, 1, 0]


@torch.no_grad()
def test_salient_latents_are_held_apart_from_sites_where_these_are_known():
    one = network(terms=Terms(gamma=1.0))
    x, y = torch.rand(12, SIZE, SIZE, SIZE), torch.arange(12) % 2
    rows, sites = torch.arange(12), torch.tensor([0, 0, 4, 4, 7, 7] * 2)
    plain = one.loss((x, rows), y, None).parts["dependence"]
    found = one.loss((x, rows, sites), y, None).parts["dependence"]
    salient = one.salient(one._seen((x,))[y == 1]).standard()
    names = torch.tensor([[s == at for at in (0, 4, 7)] for s in sites[y == 1]])
    expected = plain + dependence(salient, names.float())
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    assert abs(found - plain) > 1e-3
    alone = one.loss((x, rows, torch.zeros_like(sites)), y, None).parts["dependence"]
    assert alone.item() == pytest.approx(plain.item(), abs=1e-6)


@torch.no_grad()
def test_the_adversarial_terms_are_log_odds_and_a_cross_entropy():
    one = network(terms=Terms(correlation="adversarial"))
    rng = np.random.default_rng(1)
    x, y = rng.random((8, SIZE, SIZE, SIZE), np.float32), np.arange(8) % 2
    found = one.loss((torch.from_numpy(x),), torch.from_numpy(y), None).parts
    _, (salient, background) = parts_of(one, x, y)
    pair = swapped(salient, background[y == 1])
    own, other = (
        one.correlation.told(torch.from_numpy(v).float()).double().numpy() for v in pair
    )
    assert found["correlation"].item() == pytest.approx(own.mean(), rel=1e-4)
    told = -np.log(sigmoid(own)).mean() - np.log(1 - sigmoid(other)).mean()
    assert found["discriminator"].item() == pytest.approx(told, rel=1e-4)


def test_an_adversarial_discriminator_and_the_encoders_learn_apart():
    one = network(terms=Terms(correlation="adversarial"))
    s = torch.randn(6, 2, requires_grad=True)
    z = torch.randn(6, 3, requires_grad=True)
    found, told = one.correlation(s, z)
    weights = list(one.correlation.parameters())
    assert all(g is None for g in torch.autograd.grad(
        found, weights, allow_unused=True, retain_graph=True))  # fmt: skip
    assert torch.autograd.grad(told, [s, z], allow_unused=True) == (None, None)
    found, told = network().correlation(s, z)  # the published one does not
    both = torch.autograd.grad(found, [s, z], retain_graph=True)
    assert all(g.abs().sum() > 0 for g in both)
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(told, [s, z]))


@pytest.mark.parametrize("pool", [0, 4])
@pytest.mark.parametrize("how", APART)
@torch.no_grad()
def test_a_control_has_no_salient_part_whatever_the_encoder_says(how, pool):
    one = network(Layers(width=4, n_hidden=8, pool=pool), Terms(correlation=how))
    x, y = torch.rand(4, SIZE, SIZE, SIZE), torch.zeros(4, dtype=torch.int64)
    before = one.loss((x,), y, None)
    for part in (one.salient, one.added):
        for each in () if part is None else part.parameters():
            each.add_(1)
    after = one.loss((x,), y, None)
    assert before.total == after.total
    assert all(before.parts[name] == 0 for name in APART[how])


@pytest.mark.parametrize("n_first", [0, 1])
@pytest.mark.parametrize("how", APART)
@pytest.mark.parametrize(
    "labels", [[1], [0], [1, 0], [1, 1, 1, 0], [0, 0], [1, 1, 1, 1, 0, 0]]
)
def test_batches_of_few_people_are_finite(labels, how, n_first):
    one = network(terms=Terms(correlation=how)).train()
    one.n_first.fill_(n_first)
    x = torch.rand(len(labels), SIZE, SIZE, SIZE)
    found = one.loss((x,), torch.tensor(labels), None)
    found.total.backward()
    assert list(found.parts) == ["divergence", *APART[how], "reconstruction"]
    assert all(torch.isfinite(part) for part in (found.total, *found.parts.values()))
    assert one.n_first == 0
    slopes = [p.grad for p in one.parameters() if p.grad is not None]
    assert all(torch.isfinite(slope).all() for slope in slopes)


def test_in_training_latents_are_draws_with_the_said_spread():
    one = network(n_salient=0).train()
    said = one.background(torch.zeros(1, SIZE, SIZE, SIZE))
    with torch.no_grad():
        drawn = torch.cat([said.draw(is_training=True) for _ in range(4000)])
    sd = (0.5 * said.log_variance[0]).exp()
    assert ((drawn.mean(0) - said.mean[0]).abs() < 5 * sd / 4000**0.5).all()
    assert torch.allclose(drawn.std(0), sd, rtol=0.06)
    assert said.draw(is_training=False) is said.mean


# the networks


def test_the_published_one_has_the_published_weights_and_terms():
    model = find("cvae-published").make()
    with torch.device("meta"):
        one = model.make(64, **model.settings)
    assert one.terms == PUBLISHED_TERMS
    counts = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in one.named_children()
    }
    cells = 16**3 * 128
    encoder = 27 * 64 + 64 + 27 * 64 * 128 + 128 + cells * 128 + 128 + 2 * (129 * 16)
    decoder = 33 * 128 + 129 * cells + 27 * (128 * 32 + 32 * 16 + 16) + 32 + 16 + 1
    assert (encoder, decoder) == (67_336_224, 67_762_273)
    assert counts == {
        "background": encoder,
        "salient": encoder,
        "decoder": decoder,
        "correlation": 33,
    }
    assert not one.is_small


def test_the_published_one_takes_words_of_the_command_line():
    words = ["cvae-published:width=16", "cvae-published:correlation=adversarial"]
    given = read_settings("cvae-published", words)
    assert given == {"width": 16, "correlation": "adversarial"}
    model = find("cvae-published").make(**given)
    one = model.make(SIZE, **model.settings)
    assert one.background.convolutions[1].out_channels == 32
    assert one.correlation.is_adversarial


@pytest.mark.parametrize("name", ["cvae", "cvae-published", "vae"])
def test_nobody_is_held_out_and_no_setting_speaks_of_it(name):
    variant = find(name)
    assert not variant.needs_valid
    assert not {"patience", "monitor", "per_person"} & set(variant.settings)
    assert set(variant.choices) <= set(variant.settings)
    with pytest.raises(ConfigError, match="monitor"):
        read_settings(name, [f"{name}:monitor=loss"])


@torch.no_grad()
def test_salient_latents_add_log_odds_whatever_the_background():
    one = network()
    z, s = torch.randn(6, 3), torch.randn(6, 2)

    def odds(z, s):
        return torch.logit((one.decode(torch.cat([z, s], dim=1)) / 2).double())

    nothing = torch.zeros_like(s)
    alone = one.decoder(z) + torch.logit(one.centre, eps=1e-3)
    torch.testing.assert_close(odds(z, nothing).float(), alone, atol=1e-4, rtol=1e-4)
    added = odds(z, s) - odds(z, nothing)
    assert added.abs().max() > 0.05
    others = odds(z.flip(0), s) - odds(z.flip(0), nothing)
    torch.testing.assert_close(added, others, atol=1e-4, rtol=1e-3)
    source = network(Layers(width=4, pool=0))  # which joins them
    assert source.added is None
    assert source.decoder.hidden.in_features == 5


@pytest.mark.parametrize("pool", [0, 1, 4])
@pytest.mark.parametrize("size", [5, 8, 17, 20])
def test_maps_of_any_size_come_back_in_that_size(size, pool):
    one = network(Layers(width=2, pool=pool, n_hidden=4), size=size)
    again = one.decode(one.latents((torch.rand(2, size, size, size),)))
    assert again.shape == (2, size, size, size)
    assert (again > 0).all()
    assert (again < 2).all()  # of the scale


@pytest.mark.parametrize(("m", "n"), [(4, 1), (4, 3), (3, 2), (4, 4), (5, 3)])
def test_pooling_is_torch_s_adaptive_one(m, n):
    x = torch.randn(2, 3, m, m, m)
    expected = torch.nn.functional.adaptive_avg_pool3d(x, n)
    torch.testing.assert_close(_pooled(x, n), expected)


def test_eight_channels_are_the_cells_of_each():
    x = torch.arange(2 * 8 * 27.0).reshape(2, 8, 3, 3, 3)
    made = _interleaved(x)
    assert made.shape == (2, 1, 6, 6, 6)
    for at in np.ndindex(2, 2, 2):
        channel = 4 * at[0] + 2 * at[1] + at[2]
        part = made[:, 0, at[0] :: 2, at[1] :: 2, at[2] :: 2]
        assert torch.equal(part, x[:, channel])


@pytest.mark.parametrize(
    ("model", "changed", "message"),
    [
        ("cvae", {"batch_size": 7}, "batch_size is 7; .*even number"),
        ("cvae", {"batch_size": 6}, "batch_size is 6; correlation=matched needs 4 pat"),
        ("vae", {"pool": 5}, "pool is 5; .*takes 0 to 4"),
        (
            "cvae",
            {"correlation": "none"},
            "correlation is 'none'; it is matched or pub",
        ),
        (
            "cvae",
            {"controls_first": -0.1},
            r"controls_first is -0.1; it lies in \[0, 1",
        ),
        ("cvae", {"controls_first": 1}, r"controls_first is 1; it lies in \[0, 1\)"),
        ("cvae", {"controls_first": float("nan")}, "controls_first is nan; it lies in"),
        ("cvae", {"batches": "site"}, "batches is 'site'; it is mixed or same-site"),
        ("cvae", {"gamma": float("nan")}, "gamma is nan; it takes 0 or more"),
        ("cvae", {"n_background": 0}, "n_background is 0; it takes 1 or more"),
        ("vae", {"width": 0}, "width is 0; it takes 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(model, changed, message):
    with pytest.raises(ConfigError, match=message):
        made(model, **changed)


@pytest.mark.parametrize(
    ("model", "changed"),
    [("cvae", {"gamma": 0.0}), ("cvae", {"correlation": "published"}), ("vae", {})],
)
def test_small_batches_are_for_losses_that_need_no_four_patients(model, changed):
    assert made(model, batch_size=6, **changed).training.batch_size == 6


# batches


def batches_of(y, n_pairs, sites=None, seed=0):
    volumes = Volumes.of([np.zeros((1, 2, 2, 2), np.float32)] * len(y))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Paired(volumes, 2, n_pairs, sites).drawn(y)


def n_batches_of(y, n_pairs, sites=None):
    volumes = Volumes.of([np.zeros((1, 2, 2, 2), np.float32)] * len(y))
    return Paired(volumes, 2, n_pairs, sites).n_batches(y)


labels = st.lists(st.integers(0, 1), min_size=2, max_size=60).filter(
    lambda y: 0 < sum(y) < len(y)
)


@settings(max_examples=60)
@given(labels, st.integers(1, 16))
def test_a_batch_is_of_pairs_and_an_epoch_of_everyone_of_the_larger_class(y, n_pairs):
    y = np.array(y)
    drawn = batches_of(y, n_pairs)
    assert n_batches_of(y, n_pairs) == len(drawn)
    assert all(y[one].sum() * 2 == len(one) <= 2 * n_pairs for one in drawn)
    sizes = [len(one) for one in drawn]
    assert max(sizes) - min(sizes) <= 2
    times = np.bincount(np.concatenate(drawn), minlength=len(y))
    more = int(y.sum() * 2 >= len(y))
    assert (times[y == more] == 1).all()
    others = times[y != more]
    assert others.max() - others.min() <= 1
    again, other = batches_of(y, n_pairs), batches_of(y, n_pairs, seed=1)
    assert all(np.array_equal(*pair) for pair in zip(drawn, again, strict=True))
    assert len(y) < 12 or str(drawn) != str(other)


@settings(max_examples=60)
@given(st.data(), labels, st.integers(1, 8))
def test_batches_of_one_site_leave_nobody_out(data, y, n_pairs):
    y = np.array(y)
    named = st.sampled_from(["A", "B", "C", np.nan])
    sites = np.array(
        data.draw(st.lists(named, min_size=len(y), max_size=len(y))), object
    )
    drawn = batches_of(y, n_pairs, sites)
    assert n_batches_of(y, n_pairs, sites) == len(drawn)
    whole = {s for s in "ABC" if len(set(y[sites == s])) == 2}
    for one in drawn:
        assert y[one].sum() * 2 == len(one) <= 2 * n_pairs
        of = set(sites[one]) & whole
        if of and len(set(sites[one])) == 1:
            continue
        assert not (set(sites[one[y[one] == 1]]) & whole) or not (
            set(sites[one[y[one] == 0]]) & whole
        )  # a class from everyone is for people of pooled sites alone
    times = np.bincount(np.concatenate(drawn), minlength=len(y))
    assert times.min() >= 1


def test_sites_that_lack_a_class_are_taken_together():
    sites = np.array(["A"] * 4 + ["B"] * 3 + ["C"] * 2 + [np.nan], object)
    y = np.array([0, 1, 0, 1, 1, 1, 1, 0, 0, 0])
    drawn = batches_of(y, 4, sites)
    assert sorted(sorted(one) for one in drawn) == [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9]]
    partners = batches_of(y[:7], 4, sites[:7])  # of B, whose controls are A's
    (of_b,) = (one for one in partners if 4 in one)
    assert set(of_b[y[of_b] == 1]) == {4, 5, 6}
    assert set(of_b[y[of_b] == 0]) == {0, 2}


def test_who_is_paired_with_whom_is_chance():
    y = np.repeat([0, 1], 8)
    found = {batches_of(y, 8, seed=seed)[0].tobytes() for seed in range(9)}
    assert len(found) == 9


def test_a_store_is_read_a_batch_at_a_time(tmp_path):
    maps = [np.full((1, 2, 2, 2), at, np.float32) for at in range(6)]
    save_rows(tmp_path, Volumes.of(maps))
    rows = load_rows(tmp_path)[np.array([5, 3, 1])]
    (x,) = Maps(rows, 2).batch(np.array([2, 0]))
    assert x.shape == (2, 2, 2, 2)
    assert x[:, 0, 0, 0].tolist() == [1, 5]


@pytest.mark.parametrize("shape", [(2, 8, 8, 8), (1, 8, 8, 7)])
def test_rows_that_are_no_map_are_refused(shape):
    with pytest.raises(
        InputError, match=r"expected one of \(8, 8, 8\) a row.*--gm-size"
    ):
        Maps(Volumes.of([np.ones(shape, np.float32)] * 2), 8)


# the classifiers


@pytest.fixture(scope="module", params=["cvae", "vae"])
def learned(request):
    volumes, y, _, _ = study()
    return made(request.param).fit(volumes, y, (volumes, y)), volumes, y


def test_latents_and_maps_have_their_shapes(learned):
    model, volumes, _ = learned
    latents = model.latents(volumes)
    lengths = {"latent": 5}
    if "salient" in latents:
        lengths = {"salient": 2, "background": 3}
    assert {name: one.shape for name, one in latents.items()} == {
        name: (24, n) for name, n in lengths.items()
    }
    assert all(one.dtype == np.float32 for one in latents.values())
    first = next(iter(lengths))  # salient, or latent
    np.testing.assert_array_equal(model.embed(volumes), latents[first])
    maps = model.decode(latents)
    assert maps.shape == (24, SIZE, SIZE, SIZE)
    assert maps.dtype == np.float32
    few = model.decode({name: one[:2] for name, one in latents.items()})
    np.testing.assert_allclose(few, maps[:2], rtol=1e-5, atol=1e-6)
    nobody = model.latents(volumes[np.arange(0)])
    assert {name: one.shape for name, one in nobody.items()} == {
        name: (0, n) for name, n in lengths.items()
    }
    assert model.decode(nobody).shape == (0, SIZE, SIZE, SIZE)


def test_without_the_salient_part_a_map_is_a_control_s():
    volumes, y, _, _ = study()
    model = made().fit(volumes, y)
    latents = model.latents(volumes)
    plain = model.decode(latents, with_salient=False)
    zeros = latents | {"salient": np.zeros_like(latents["salient"])}
    np.testing.assert_array_equal(plain, model.decode(zeros))
    assert not np.array_equal(plain, model.decode(latents))


def test_latents_of_another_model_are_refused(learned):
    model, volumes, _ = learned
    latents = model.latents(volumes)
    for wrong in (
        {},
        {"other": np.zeros((2, 3))},
        {k: v[:, 1:] for k, v in latents.items()},
    ):
        with pytest.raises(InputError, match=r"latents of the shapes .*; expected n"):
            model.decode(wrong)
    if "latent" in latents:
        with pytest.raises(InputError, match="no salient latents to leave out"):
            model.decode(latents, with_salient=False)


def test_the_head_is_logistic_regression_on_training_embeddings(learned):
    model, volumes, y = learned
    head = LinearHead().fit(model.embed(volumes), y)
    np.testing.assert_allclose(
        model.decide(volumes), head.decide(model.embed(volumes)), rtol=1e-3, atol=1e-4
    )
    logits, truth = model.held_out()
    np.testing.assert_array_equal(logits, model.decide(volumes))
    np.testing.assert_array_equal(truth, y)


def test_a_saved_model_says_the_same(learned, tmp_path):
    model, volumes, _ = learned
    name = "vae" if "latent" in model.latents(volumes) else "cvae"
    told = model.save(tmp_path)
    again = find(name).make().load(tmp_path, told)
    np.testing.assert_array_equal(again.decide(volumes), model.decide(volumes))
    here, there = model.latents(volumes), again.latents(volumes)
    for each in here:
        np.testing.assert_array_equal(here[each], there[each])
    np.testing.assert_array_equal(again.decode(there), model.decode(here))
    assert again.notes() == model.notes()


@pytest.mark.parametrize("how", APART)
def test_a_killed_training_goes_on_to_the_same_weights(how, tmp_path):
    """Of three epochs, of which controls alone teach in two, it ends in the second."""
    volumes, y, _, _ = study()
    sites = np.where(np.arange(24) % 4 < 2, "A", "B").astype(object)

    def fitted(folder, sites=sites):
        model = made(correlation=how, batches="same-site", controls_first=0.67)
        model.of_sites(sites)
        model.keep_in(folder)
        return model

    whole = fitted(tmp_path / "a").fit(volumes, y)
    killed = fitted(tmp_path / "b")
    network = killed.make

    def failing(*args, **kwargs):
        one = network(*args, **kwargs)
        loss, calls = one.loss, []

        def counted(*given):
            calls.append(1)
            if len(calls) > 4:
                raise KeyboardInterrupt
            return loss(*given)

        one.loss = counted
        return one

    killed.make = failing
    with pytest.raises(KeyboardInterrupt):
        killed.fit(volumes, y)
    kept = load_file(tmp_path / "b/fit.safetensors")
    assert kept["weights.n_first"] == 4  # of 8, four batches an epoch
    again = fitted(tmp_path / "b").fit(volumes, y)
    assert again.history == whole.history
    np.testing.assert_array_equal(again.decide(volumes), whole.decide(volumes))
    other = fitted(tmp_path / "b", sites=sites[::-1]).fit(volumes, y)
    assert other.history != whole.history  # of other sites: another training


@pytest.mark.parametrize("batches", ["mixed", "same-site"])
def test_the_order_of_people_and_sites_does_not_matter(batches):
    volumes, y, _, _ = study()
    sites = np.random.default_rng(2).choice(["A", "B", "C"], 24).astype(object)
    order = np.random.default_rng(1).permutation(24)
    said = []
    for which in (np.arange(24), order):
        model = made(batches=batches)
        model.of_sites(sites[which])
        said.append(model.fit(volumes[which], y[which]).decide(volumes))
    np.testing.assert_array_equal(*said)


def test_maps_are_scaled_by_training_rows_alone():
    volumes, y, _, _ = study()
    maps = [np.array(one) for one in volumes]
    train, rest = np.arange(16), np.arange(16, 24)
    largest = max(one.max() for one in maps[:16])
    for row in rest:
        maps[row] *= 9
    changed = Volumes.of(maps)
    model = made().fit(changed[train], y[train], (changed[rest], y[rest]))
    assert model.notes()["scale"] == pytest.approx(largest)
    network = model.network
    assert network.scale.item() == pytest.approx(largest)
    stacked = np.concatenate(maps[:16]).astype(np.float64) / largest
    mean = stacked.mean(axis=0)
    np.testing.assert_allclose(network.centre.numpy(), mean, rtol=1e-5)
    spread = np.sqrt(((stacked - mean) ** 2).mean())
    assert network.spread.item() == pytest.approx(spread, rel=1e-4)
    again = model.decode(model.latents(changed[rest]))
    assert again.max() < largest


def test_the_published_one_takes_maps_as_they_are():
    volumes, y, _, _ = study(n=8)
    small = {"width": 4, "n_epochs": 1, "batch_size": 8}
    network = find("cvae-published").make(**small).fit(volumes, y).network
    assert network.centre.shape == ()
    assert (network.centre.item(), network.spread.item()) == (0, 1)
    assert network.scale.item() == max(one.max() for one in volumes)


@pytest.mark.parametrize("value", [0, 3])
def test_maps_that_hold_nothing_are_refused(value):
    volumes = Volumes.of([np.full((1, 8, 8, 8), value, np.float32)] * 8)
    with pytest.raises(
        FitError, match=rf"largest value of the 8 training maps is {value}"
    ):
        made().fit(volumes, np.arange(8) % 2)


@pytest.mark.parametrize(("pool", "start"), [(4, -4.0), (0, 0.0)])
def test_latents_of_the_small_one_start_with_little_noise(pool, start):
    layers = Layers(width=4, pool=pool)
    one = Contrast(SIZE, layers, PUBLISHED_TERMS, n_background=3, n_salient=2)
    for encoder in one.encoders():
        assert (encoder.log_variance.bias == start).all()
        assert (encoder.mean.bias == 0).all()


def taught(maps, y, n_epochs, n_first, how="matched"):
    """Return weights and history after some epochs, of which the first lack patients.

    Sixteen people have two batches an epoch; all begin alike.
    """
    terms = Terms(correlation=how)
    one = network(terms=terms)
    one.start(2.0, torch.full((SIZE,) * 3, 0.3), 0.5, 2 * n_first)
    part = Part(Paired(Volumes.of(list(maps)), SIZE, 4), y, np.ones(len(y)))
    if not n_epochs:
        return {k: v.clone() for k, v in one.state_dict().items()}, []
    with torch.random.fork_rng():
        torch.manual_seed(5)
        learned = learn(one, part, replace(TRAINING, n_epochs=n_epochs))
    return {k: v.clone() for k, v in one.state_dict().items()}, learned.history


def same(one, other):
    """Tell of each part of the network if all its weights are the same."""
    found = {}
    for name in one:
        part, is_same = name.partition(".")[0], torch.equal(one[name], other[name])
        found[part] = found.get(part, True) and is_same
    return found


@pytest.mark.parametrize("how", APART)
def test_at_first_controls_alone_teach_and_the_background_learns(how):
    y, rng = np.arange(16) % 2, np.random.default_rng(3)
    maps, others = (rng.random((16, 1, SIZE, SIZE, SIZE), np.float32) for _ in range(2))
    others[y == 0] = maps[y == 0]
    start, _ = taught(maps, y, 0, 0, how)
    after, history = taught(maps, y, 3, 3, how)
    moved = same(start, after)
    assert not moved["background"]
    assert not moved["decoder"]
    assert moved.pop("correlation", True)
    assert moved["salient"]
    assert moved["added"]
    again, told = taught(others, y, 3, 3, how)
    assert all(same(after, again).values())
    assert told == history
    for name in APART[how]:
        assert [entry["train"][name] for entry in history] == [0, 0, 0]
    whole, later = taught(maps, y, 4, 3, how)
    assert later[:3] == history
    assert all(later[3]["train"][name] != 0 for name in APART[how])
    assert not same(after, whole)["salient"]
    assert not same(after, whole)["added"]
    other, _ = taught(others, y, 4, 3, how)
    assert not same(other, whole)["background"]


@pytest.mark.parametrize(
    ("n_epochs", "share", "n"), [(3, 0.33, 1), (3, 0.99, 2), (1, 0.9, 0), (4, 0.5, 2)]
)
def test_a_share_of_the_epochs_is_of_controls_and_the_last_never(n_epochs, share, n):
    volumes, y, _, _ = study(n=16)
    rows = np.r_[:16, np.flatnonzero(y)[:3]]  # 11 patients, 8 controls: three batches
    seen, start = [], Contrast.start

    def watched(self, *given):
        start(self, *given)
        seen.append(int(self.n_first))

    model = made(n_epochs=n_epochs, controls_first=share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Contrast, "start", watched)
        model.fit(volumes[rows], y[rows])
        made("vae").fit(volumes[rows], y[rows])
    assert seen == [3 * n, 0]
    told = [entry["train"]["dependence"] for entry in model.history]
    assert [value == 0 for value in told] == [True] * n + [False] * (n_epochs - n)
    assert model.network.n_first == 0


def test_people_who_are_only_looked_at_do_not_count_as_a_step():
    one = network()
    one.n_first.fill_(2)
    x, y = torch.rand(8, SIZE, SIZE, SIZE), torch.arange(8) % 2
    parts = one.eval().loss((x,), y, None).parts
    assert one.n_first == 2
    assert parts["discriminator"] != 0


def test_a_loss_that_is_not_finite_is_told():
    volumes, y, _, _ = study(n=8)
    with pytest.raises(FitError, match="the train loss is"):
        made(learning_rate=1e12, n_epochs=5).fit(volumes, y)


# sites, harmonization, learning

N = 36
FOLD = Fold(1, 1, np.arange(24), np.arange(24, 30), np.arange(30, N))
SITES = np.array(["A", "A", "B", "B"] * (N // 4), object)


@pytest.mark.parametrize("method", ["none", "combat"])
def test_a_fold_tells_the_sites_of_its_training_rows(method, monkeypatch):
    volumes, y, _, _ = study(n=N)
    content = {one.tobytes(): site for one, site in zip(volumes, SITES, strict=True)}
    seen, fit = [], ContrastClassifier.fit

    def watched(self, x, *given, **named):
        seen.append(self.given.tolist() == [content[one.tobytes()] for one in x])
        return fit(self, x, *given, **named)

    monkeypatch.setattr(ContrastClassifier, "fit", watched)
    recipe = Recipe(
        variant="cvae",
        harmonize=HarmonizeConfig(method=method),
        settings=LITTLE["cvae"] | {"batches": "same-site", "n_epochs": 2},
    )
    traits, rows = pd.DataFrame({"site": SITES}), np.arange(N)
    result = fit_fold(volumes, y, rows, FOLD, recipe, traits=traits)
    permute_fold(volumes, y[None], rows, FOLD, recipe, traits=traits)
    assert seen == [True] * (2 if method == "none" else 6)
    assert np.isfinite(result.scores).all()
    if method == "combat":
        assert result.before.shape == result.scores.shape


def test_same_site_batches_need_sites_and_say_which_were_mixed():
    volumes, y, _, _ = study(n=12)
    model = made(batches="same-site")
    for unknown in (None, np.full(12, np.nan, object)):
        model.of_sites(unknown)
        with pytest.raises(ConfigError, match="sites of the training people are not"):
            model.fit(volumes, y)
    sites = np.array(["A"] * 6 + ["B", "C"] * 3, object)
    model.of_sites(sites)
    model.fit(volumes, y)
    assert model.notes()["sites_in_mixed_batches"] == ["B", "C"]
    model.of_sites(np.where(sites == "C", np.nan, sites))
    assert model.fit(volumes, y).notes()["sites_in_mixed_batches"] == ["B", "unknown"]
    assert model.notes()["sites_without_dependence"] == ["A"]  # three patients
    model.of_sites(np.repeat(np.array(["A", "B"], object), [8, 4]))
    told = model.fit(volumes, y).notes()
    assert told["sites_without_dependence"] == ["B"]
    plain = made("vae", batches="same-site")
    plain.of_sites(sites)
    assert "sites_without_dependence" not in plain.fit(volumes, y).notes()
    mixed = made()
    mixed.of_sites(None)
    assert "sites_in_mixed_batches" not in mixed.fit(volumes, y).notes()


def test_what_patients_alone_have_is_salient_in_new_people():
    volumes, y, severity, shared = study(n=120)
    train, test = np.arange(80), np.arange(80, 120)
    model = made(n_epochs=60, learning_rate=0.003, batch_size=16, width=8)
    model.fit(volumes[train], y[train])
    assert roc_auc_score(y[test], model.predict_score(volumes[test])) > 0.85
    latents, own, new = model.latents(volumes), y[train] == 1, y[test] == 1

    def told(space, truth):
        design = np.c_[np.ones(120), latents[space]]
        fit = np.linalg.lstsq(design[train][own], truth[train][own], rcond=None)[0]
        return np.corrcoef(design[test][new] @ fit, truth[test][new])[0, 1]

    assert told("salient", severity) > 0.95
    assert told("background", shared) > 0.95
    assert abs(told("salient", shared)) < 0.7 * told("background", shared)
    again, plain = model.decode(latents), model.decode(latents, with_salient=False)
    lost = (again - plain)[test][new].mean(axis=0)
    assert lost[:4, :4].mean() > 0.15 > 5 * abs(lost[4:].mean())
