"""dtl against its equations, and what its layers may learn from."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.errors import ConfigError, FitError, InputError
from bidsclf.models._autoencoder import (
    Encoder,
    Penalties,
    SparseAutoencoder,
    Vectors,
    divergence,
    unit_interval,
)
from bidsclf.models._checkpoint import Checkpoint
from bidsclf.models._rows import Edges, edges
from bidsclf.models.dtl import DeepNetwork, TransferClassifier

N, N_EDGES = 24, 10
Y = np.tile([0, 1], N // 2)
QUICK = {
    "layers": (6, 3),
    "source_epochs": (3, 4),
    "n_epochs": 4,
    "source_batch": 8,
    "batch_size": 8,
}


def people(seed: int = 0, n: int = N) -> Edges:
    rng = np.random.default_rng(seed)
    return edges(rng.normal(scale=0.4, size=(n, N_EDGES)).astype(np.float32))


def classifier(**settings) -> TransferClassifier:
    torch.set_num_threads(1)
    return TransferClassifier(seed=3, **(QUICK | settings))


def weights(model: TransferClassifier) -> list[torch.Tensor]:
    return [t.clone() for t in model.source.state_dict().values()]


def same(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def equation(theta: dict[str, np.ndarray], x: np.ndarray, how: Penalties) -> float:
    """Return mean |x^ - x|^2 + decay / 2 |W|^2 + beta sum KL(rho || rho_hat)."""
    h = sigmoid((x - theta["centre"]) @ theta["W"].T + theta["b"])
    again = sigmoid(h @ theta["V"].T + theta["c"])
    error = ((again - x) ** 2).sum() / len(x)
    squares = (theta["W"] ** 2).sum() + (theta["V"] ** 2).sum()
    kl = 0.0
    for active in h.T:
        q = active.mean()
        kl += how.rho * np.log(how.rho / q)
        kl += (1 - how.rho) * np.log((1 - how.rho) / (1 - q))
    return error + how.decay / 2 * squares + how.beta * kl


def test_the_loss_and_its_gradient_are_those_of_the_equation():
    torch.manual_seed(0)
    how = Penalties(rho=0.1, beta=2.0, decay=0.3)
    x = unit_interval(people()).double()
    one = SparseAutoencoder(Encoder(N_EDGES, 4), x.float(), how).double()
    torch.nn.init.normal_(one.encoder.bias)
    names = {
        "W": one.encoder.weight,
        "b": one.encoder.bias,
        "V": one.weight,
        "c": one.bias,
    }
    theta = {name: p.detach().numpy().copy() for name, p in names.items()}
    theta["centre"] = one.encoder.centre.numpy()
    losses = one.loss((x,), torch.zeros(N), torch.ones(N))
    assert losses.total.item() == pytest.approx(equation(theta, x.numpy(), how))
    assert losses.total.item() == pytest.approx(
        sum(part.item() for part in losses.parts.values())
    )
    losses.total.backward()
    for name, parameter in names.items():
        slope = np.empty_like(theta[name])
        for at in np.ndindex(slope.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = {key: value.copy() for key, value in theta.items()}
                moved[name][at] += step
                ends.append(equation(moved, x.numpy(), how))
            slope[at] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(parameter.grad.numpy(), slope, atol=1e-6)


@given(rho=st.floats(0.01, 0.99), q=st.floats(0, 1))
def test_the_divergence_is_zero_at_rho_and_never_negative_nor_infinite(rho, q):
    at_rho = divergence(torch.full((3, 2), rho), rho)
    assert at_rho.item() == pytest.approx(0, abs=1e-5)
    found = divergence(torch.full((1, 1), q), rho)
    assert -1e-6 <= found.item() < 15


def test_edges_go_to_the_unit_interval_as_correlations():
    r = np.array([[-0.5, 0.0, 0.9]])
    values = unit_interval(np.arctanh(r))
    np.testing.assert_allclose(values.numpy(), (r + 1) / 2, atol=1e-6)
    assert unit_interval(np.array([[50.0, -50.0]])).tolist() == [[1.0, 0.0]]


def test_an_autoencoder_starts_at_the_mean_person_with_the_activity_asked_for():
    x = unit_interval(people())
    how = Penalties(rho=0.2, beta=1.0, decay=0.0)
    one = SparseAutoencoder(Encoder(N_EDGES, 4), x, how)
    active, again = one((x.mean(dim=0, keepdim=True),))
    np.testing.assert_allclose(active.detach(), 0.2, atol=1e-6)
    np.testing.assert_allclose(again.detach()[0], x.mean(dim=0), atol=1e-6)


def test_the_network_is_layer_over_layer_and_two_logits():
    torch.manual_seed(1)
    network, x = DeepNetwork(N_EDGES, layers=(4, 3)), people()
    values = (np.tanh(x.features.astype(float)) + 1) / 2
    for one in network.encoders.encoders():
        torch.nn.init.normal_(one.centre)
        w, b, c = (t.detach().numpy() for t in (one.weight, one.bias, one.centre))
        values = sigmoid((values - c) @ w.T + b)
    w, b = (p.detach().numpy() for p in network.head.parameters())
    logits = network(network.samples(x).batch(np.arange(N)))
    np.testing.assert_allclose(logits.detach(), values @ w.T + b, atol=1e-5)


def test_layers_are_learned_greedily_and_a_lower_one_is_not_touched_again():
    short = classifier(layers=(6,)).learn_from(people(5))
    deep = classifier(layers=(6, 3)).learn_from(people(5))
    first = weights(short)
    assert same(first, weights(deep)[: len(first)])
    codes = short.source(unit_interval(people(5)))
    centre = deep.source.encoders()[1].centre
    torch.testing.assert_close(centre, codes.mean(dim=0).detach())
    epochs = [layer["last"]["epoch"] for layer in deep.told["layers"]]
    assert epochs == [3, 4]


def test_pre_training_finds_what_edges_have_in_common():
    rng = np.random.default_rng(0)
    common = edges(rng.normal(size=(N, 1)) * rng.normal(size=(1, N_EDGES)))
    model = classifier(source_epochs=(60,), source_rate=0.03, layers=(6,))
    model.learn_from(common)
    (layer,) = model.told["layers"]
    ends = [layer[end]["train"]["reconstruction"] for end in ("first", "last")]
    assert ends[1] < 0.4 * ends[0]


def test_the_layers_depend_on_source_people_and_seed_alone():
    x, source = people(), people(5)
    model = classifier().learn_from(source)
    before = weights(model)
    model.fit(x, Y, (people(1), Y))
    assert same(before, weights(model))  # fine-tuning trains a copy
    shuffled = source[np.random.default_rng(0).permutation(N)]
    assert same(before, weights(classifier().learn_from(shuffled)))
    assert not same(before, weights(classifier().learn_from(people(6))))
    other = TransferClassifier(seed=4, **QUICK).learn_from(source)
    assert not same(before, weights(other))


def test_without_epochs_to_move_the_network_is_what_the_source_people_taught():
    model = classifier(n_epochs=1, learning_rate=1e-30, weight_decay=0.0)
    model.learn_from(people(5)).fit(people(), Y)
    taught = model.source.state_dict()
    for name, tensor in model.network.encoders.state_dict().items():
        assert torch.equal(tensor, taught[name])
    moved = classifier().learn_from(people(5)).fit(people(), Y)
    first = moved.network.encoders.encoders()[0]
    assert not torch.equal(first.weight, taught["0.weight"])  # the whole is tuned


def test_without_source_people_the_controls_of_the_training_part_teach(monkeypatch):
    seen = []
    own = Vectors.__init__

    def spy(self, values):
        seen.append(values.clone())
        own(self, values)

    monkeypatch.setattr(Vectors, "__init__", spy)
    x, valid = people(), people(1)
    model = classifier(layers=(6,)).fit(x, Y, (valid, Y))
    controls = unit_interval(x[Y == 0])
    first = seen[0][seen[0][:, 0].argsort()]
    torch.testing.assert_close(first, controls[controls[:, 0].argsort()])
    told = model.notes()["pretraining"]
    assert (told["people"], told["n_people"]) == ("training people of class 0", N // 2)
    model.learn_from(people(5, n=7))
    told = model.notes()["pretraining"]
    assert (told["people"], told["n_people"]) == ("people outside the study", 7)


def test_a_copy_that_is_not_fitted_yet_learns_the_same():
    model = classifier().learn_from(people(5))
    twin = copy.deepcopy(model)
    scores = model.fit(people(), Y).predict_score(people(2))
    np.testing.assert_array_equal(
        twin.fit(people(), Y).predict_score(people(2)), scores
    )


class Killed(Exception):
    pass


@pytest.mark.parametrize("phase", ["layer-1", "layer-2", "fit"])
def test_goes_on_after_a_kill_with_the_same_weights(phase, tmp_path, monkeypatch):
    expected = classifier().learn_from(people(5)).fit(people(), Y, (people(1), Y))
    write = Checkpoint.write

    def write_then_die(self, key, state):
        write(self, key, state)
        if self.path.stem == phase:
            raise Killed

    def run():
        model = classifier()
        model.keep_in(tmp_path)
        return model.learn_from(people(5)).fit(people(), Y, (people(1), Y))

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", write_then_die)
        with pytest.raises(Killed):
            run()
    again = run()
    state = again.network.state_dict()
    for name, tensor in expected.network.state_dict().items():
        assert torch.equal(state[name], tensor)
    assert again.notes() == expected.notes()


def test_a_checkpoint_of_other_penalties_is_not_gone_on_with(tmp_path):
    for beta in (1.0, 50.0):
        model = classifier(beta=beta)
        model.keep_in(tmp_path)
        model.learn_from(people(5))
        assert same(
            weights(model), weights(classifier(beta=beta).learn_from(people(5)))
        )


def test_a_saved_model_tells_the_same(tmp_path):
    model = classifier().learn_from(people(5)).fit(people(), Y)
    again = classifier().load(tmp_path, model.save(tmp_path))
    assert again.notes() == model.notes()
    assert again.penalties == model.penalties


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"rho": 1.0}, r"rho is 1.0; .* between 0 and 1"),
        ({"beta": -1.0}, "beta is -1.0; it takes 0 or more"),
        ({"layers": ()}, r"layers is ''; .* such as 100,50"),
        ({"layers": (9, 0)}, r"layers is '9,0'"),
        ({"source_epochs": ()}, "source_epochs is empty"),
        ({"source_epochs": (5, 0)}, r"pre-training \(source_epochs.*n_epochs is 0"),
        ({"source_batch": 0}, r"pre-training .*batch_size is 0"),
    ],
)
def test_refuses_settings_out_of_range(settings, match):
    with pytest.raises(ConfigError, match=match):
        classifier(**settings)


def test_refuses_source_people_of_another_atlas_or_too_few():
    other = edges(np.zeros((4, N_EDGES + 1), np.float32))
    with pytest.raises(InputError, match=r"have 11 edges, .* study 10; .* same atlas"):
        classifier().learn_from(other).fit(people(), Y)
    with pytest.raises(InputError, match=r"1 source people; .* Widen --source"):
        classifier().learn_from(people(n=1))


def test_one_class_is_refused_before_anything_is_learned():
    with pytest.raises(FitError, match=r"\[24, 0\] of classes"):
        classifier().fit(people(), np.zeros(N, int))
