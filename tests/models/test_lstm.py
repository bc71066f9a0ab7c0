"""The LSTMs against the equations of their paper, and what they must hold."""

import numpy as np
import pytest
import torch

from bidsclf.errors import ConfigError
from bidsclf.models._base import find
from bidsclf.models._loop import learn
from bidsclf.models._rows import Series
from bidsclf.models._training import Part, Training
from bidsclf.models.lstm import LSTMD, LSTMDG, LSTMH, LSTMS

R, K, H, T, B = 5, 4, 3, 6, 7
SIZES = {"window": T, "n_communities": K, "n_hidden": H}
JOINT = [LSTMDG, LSTMH]
CONSTRAINED = [*JOINT, LSTMD]


def network(kind, **settings):
    torch.manual_seed(0)
    sizes = SIZES if kind is not LSTMS else {"window": T, "n_hidden": H}
    return kind(R, **(sizes | {"dropout": 0.0} | settings)).double()


def batch(seed=1):
    drawn = torch.Generator().manual_seed(seed)
    windows = torch.randn(B, T, R, generator=drawn, dtype=torch.float64)
    after = torch.randn(B, R, generator=drawn, dtype=torch.float64)
    has_after = torch.tensor([True, True, False, True, True, False, True])
    return windows, after * has_after[:, None], has_after


Y = torch.tensor([0, 1, 1, 0, 1, 0, 0])
WEIGHT = torch.where(Y == 1, 7 / 6, 7 / 8).double()


def weights(net):
    """Return the parameters of a network as plain tensors, one bias a gate."""
    told = {k: v.detach().clone() for k, v in net.state_dict().items()}
    return {k: v.requires_grad_(True) for k, v in told.items() if "bias_hh" not in k}


def cells(inputs, w, u, b):
    """Equations (1) to (3): all h, and the last c. Gates stand as i, f, c, o."""
    n = u.shape[1]
    gate = {k: slice(i * n, (i + 1) * n) for i, k in enumerate("ifco")}
    h = c = torch.zeros(len(inputs), n, dtype=inputs.dtype)
    states = []
    for t in range(inputs.shape[1]):
        x = inputs[:, t]

        def layer(k, x=x, h=h):
            return x @ w[gate[k]].T + h @ u[gate[k]].T + b[gate[k]]

        i, f, o = (1 / (1 + torch.exp(-layer(k))) for k in "ifo")
        c = i * torch.tanh(layer("c")) + f * c
        h = o * torch.tanh(c)
        states.append(h)
    return torch.stack(states, dim=1), c


def reference(p, kind, data):
    """Return (L, logits, L_D, L_G) of 002, sections 2.1 and 3.2, without dropout."""
    windows, after, has_after = data
    hidden = windows
    if kind is not LSTMS:
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
        hidden, cell = cells(windows, *(p[f"communities.{n}"] for n in names))
    w, u, b = (
        p[f"classifier.{n}"] for n in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
    )
    states, _ = cells(hidden, w, u, b)
    odds = torch.stack(
        [states[:, t] @ p["dense.weight"][0] + p["dense.bias"][0] for t in range(T)]
    ).mean(dim=0)
    yes = 1 / (1 + torch.exp(-odds))
    each = -(Y * torch.log(yes) + (1 - Y) * torch.log(1 - yes))
    discriminative = (WEIGHT * each).sum() / B
    if kind not in JOINT:
        return discriminative, odds, discriminative, None
    state = cell if kind is LSTMDG else hidden[:, T - 1]
    guess = state @ p["generator.weight"].T + p["generator.bias"]
    squares = [((guess[i] - after[i]) ** 2).sum() / R for i in range(B) if has_after[i]]
    generative = sum(squares) / len(squares)
    return generative + 0.1 * discriminative, odds, discriminative, generative


@pytest.mark.parametrize("kind", [LSTMDG, LSTMH, LSTMD, LSTMS])
def test_a_forward_and_a_backward_step_equal_the_equations_of_the_paper(kind):
    net, data = network(kind), batch()
    plain = weights(net)
    total, odds, discriminative, generative = reference(plain, kind, data)
    told = net.loss(data, Y, WEIGHT)
    torch.testing.assert_close(told.total, total, rtol=0, atol=1e-12)
    torch.testing.assert_close(net(data)[:, 1], odds, rtol=0, atol=1e-12)
    assert not net(data)[:, 0].any()
    parts = {"discriminative": discriminative, "generative": generative}
    for name, value in told.parts.items():
        torch.testing.assert_close(value, parts[name].detach(), rtol=0, atol=1e-12)
    assert ("generative" in told.parts) == (kind in JOINT)
    told.total.backward()
    total.backward()
    for name, value in net.named_parameters():
        if name in plain:
            torch.testing.assert_close(value.grad, plain[name].grad, rtol=0, atol=1e-10)


def test_two_steps_of_adam_and_the_projection_equal_those_of_plain_tensors():
    net, data, rate = network(LSTMDG), batch(), 0.05
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.0)
    plain = weights(net)
    moments = {k: (torch.zeros_like(v), torch.zeros_like(v)) for k, v in plain.items()}
    n_clipped = 0
    for step in (1, 2):
        optimizer.zero_grad()
        net.loss(data, Y, WEIGHT).total.backward()
        optimizer.step()
        net.project()
        grads = torch.autograd.grad(reference(plain, LSTMDG, data)[0], plain.values())
        for (name, value), grad in zip(plain.items(), grads, strict=True):
            m, v = moments[name]
            m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
            moments[name] = m, v
            m, v = m / (1 - 0.9**step), v / (1 - 0.999**step)
            moved = value.detach() - rate * m / (v**0.5 + 1e-8)
            if name in ("communities.weight_ih_l0", "generator.weight"):
                n_clipped += int((moved < 0).sum())
                moved = moved * (moved > 0)
            plain[name] = moved.requires_grad_(True)
    assert n_clipped > 5
    for name, value in plain.items():
        torch.testing.assert_close(
            net.state_dict()[name], value.detach(), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("kind", CONSTRAINED)
def test_weights_between_regions_and_communities_are_never_negative(kind):
    net, data = network(kind), batch()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    names = ["communities.weight_ih_l0", "generator.weight"][: 1 + (kind in JOINT)]
    for _ in range(4):
        for name in names:
            value = net.get_parameter(name)
            assert (value >= 0).all()
            assert (value > 0).any()
        optimizer.zero_grad()
        net.loss(data, Y, WEIGHT).total.backward()
        optimizer.step()
        net.project()
    assert (net.communities.weight_hh_l0 < 0).any()
    assert (net.classifier.weight_ih_l0 < 0).any()


def test_the_loop_projects_after_every_step(monkeypatch):
    lowest = []

    def watch(self, data, y, weight):
        lowest.append(float(self.communities.weight_ih_l0.detach().min()))
        return loss(self, data, y, weight)

    loss = LSTMDG.loss
    monkeypatch.setattr(LSTMDG, "loss", watch)
    x, y = people()
    short = {"n_epochs": 2, "learning_rate": 0.1, "batch_size": 8, "window": T}
    model = find("lstm-dg").make(**short).fit(x, y)
    assert len(lowest) > 10
    assert min(lowest) == 0
    state = model.network.state_dict()
    assert min(state[n].min() for n in CLIPPED) == 0


CLIPPED = ("communities.weight_ih_l0", "generator.weight")


def people(n=12, n_volumes=14):
    rng, y = np.random.default_rng(0), np.tile([0, 1], n // 2)
    return Series.of([rng.normal(size=(n_volumes, R)) + label for label in y]), y


def test_h_generates_from_the_hidden_state_and_dg_from_the_cell_state():
    data = batch()
    for kind, from_cell in ((LSTMDG, True), (LSTMH, False)):
        net = network(kind)
        hidden, (_, cell) = net.communities(data[0])
        told = net._communities(data[0])[1]
        assert torch.equal(told, cell[0] if from_cell else hidden[:, -1])
        assert not torch.allclose(cell[0], hidden[:, -1])


@pytest.mark.parametrize("kind", [LSTMD, LSTMS])
def test_without_a_generative_task_there_are_no_weights_for_it(kind):
    net, (windows, after, has_after) = network(kind), batch()
    assert not any("generator" in name for name in net.state_dict())
    losses = [
        net.loss((windows, one, has_after), Y, WEIGHT).total for one in (after, -after)
    ]
    assert losses[0] == losses[1]


def test_the_volume_after_counts_only_where_there_is_one():
    net, (windows, after, has_after) = network(LSTMDG), batch()
    wild = torch.where(has_after[:, None], after, 1e6)
    expected = net.loss((windows, after, has_after), Y, WEIGHT).total
    assert net.loss((windows, wild, has_after), Y, WEIGHT).total == expected
    nothing = torch.zeros(B, dtype=torch.bool)
    with torch.no_grad():
        losses = net.loss((windows, after, nothing), Y, WEIGHT)
    assert losses.parts["generative"] == 0
    assert losses.total == pytest.approx(0.1 * float(losses.parts["discriminative"]))


def test_dropout_acts_in_training_only():
    net, data = network(LSTMDG, dropout=0.5), batch()
    torch.manual_seed(3)
    assert not torch.equal(net(data), net(data))
    still = net.eval()(data)
    assert torch.equal(net(data), still)
    torch.testing.assert_close(still, network(LSTMDG)(data))


@pytest.mark.parametrize("score", ["mean", "share"])
def test_a_person_s_score_is_the_mean_of_the_windows_or_the_share_above_one_half(score):
    x, y = people()
    settings = {"n_epochs": 1, "window": 8, "score": score, "per_person": 2}
    model = find("lstm-dg").make(**settings).fit(x, y)
    told = []
    for series in x:
        offsets = range(len(series) - 8 + 1)
        windows = np.stack([series[at : at + 8] for at in offsets])
        with torch.inference_mode():
            logits = model.network((torch.from_numpy(windows), None, None))
        yes = torch.softmax(logits.double(), dim=1)[:, 1].numpy()
        told.append(
            yes.mean()
            if score == "mean"
            else ((yes > 0.5).sum() + 0.5) / (len(yes) + 1)
        )
    np.testing.assert_allclose(model.predict_score(x), told, atol=1e-6)


def test_settings_reach_the_network_and_the_paper_s_are_offered():
    sizes = {"n_communities": 6, "n_hidden": 4, "window": 9, "dropout": 0.1}
    x, y = people()
    model = find("lstm-h").make(n_epochs=1, balance=0.5, **sizes).fit(x, y)
    assert model.network.generator.weight.shape == (R, 6)
    assert model.network.classifier.weight_ih_l0.shape == (16, 6)
    assert (model.network.window, model.network.balance) == (9, 0.5)
    for name, parts in (("s", 1), ("d", 1), ("h", 2), ("dg", 2)):
        variant = find(f"lstm-{name}")
        assert len(variant.choices["monitor"]) == 4 + parts
        assert ("balance" in variant.settings) == (parts == 2)
        assert ("n_communities" in variant.settings) == (name != "s")
        assert variant.sees_order
        assert variant.settings["weight_decay"] == 0
        for word, values in variant.choices.items():
            assert variant.settings[word] in values


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("window", 0, "^window is 0; it takes 1 or more"),
        ("n_communities", 0, "^n_communities is 0; it takes 1"),
        ("n_hidden", 0, "^n_hidden is 0; it takes 1"),
        ("dropout", 1.0, r"^dropout is 1.0; it lies in \[0, 1\)"),
    ],
)
def test_a_setting_out_of_range_is_refused_before_anything_is_learned(
    name, value, message
):
    with pytest.raises(ConfigError, match=message):
        find("lstm-dg").make(**{name: value})


@pytest.mark.parametrize("kind", JOINT)
def test_measures_of_validation_do_not_depend_on_the_batches(kind):
    """The generative error is a mean over the windows that have a volume after."""
    rng = np.random.default_rng(0)
    x = Series.of([rng.normal(size=(n, R)).astype("f4") for n in (T, 9, 7, 20)])
    y, found = np.array([0, 1, 0, 1]), []
    for size in (1, 999):
        torch.manual_seed(0)
        net = kind(R, **SIZES)
        part = Part(net.samples(x), y, np.array([0.5, 2, 1, 1]))
        still = Training(n_epochs=1, batch_size=size, learning_rate=1e-30)
        found.append(learn(net, part, still, valid=part).history[0]["valid"])
    whole = net.samples(x)
    drawn = whole.batch(np.arange(len(whole)))
    told = net.loss(drawn, *(torch.as_tensor(v)[whole.person] for v in part[1:]))
    for one in found:
        assert one["generative"] == pytest.approx(told.parts["generative"].item())
        assert one["loss"] == pytest.approx(told.total.item())
        assert one == pytest.approx(found[0])
