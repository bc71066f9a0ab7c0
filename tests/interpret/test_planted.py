"""Communities that the simulator plants are found again by the joint LSTM."""

import numpy as np
import pytest

from bidsclf.features._atlas import load_atlas
from bidsclf.interpret.communities import members, tensor_communities
from bidsclf.models._base import find
from bidsclf.models._rows import Series
from bidsclf.sources._signals import Traits, neural
from bidsclf.sources._study import network_of

NETWORKS = ("visual", "somatomotor", "subcortical", "limbic")
PER_NETWORK, N_PEOPLE = 6, 20
# Every window in every epoch, and the epoch that generates best: communities need
# steps, and the total loss is lowest long before, when the labels (here of nothing)
# are learned by heart.
SETTINGS = {
    "n_communities": 6,
    "window": 20,
    "n_epochs": 12,
    "learning_rate": 6e-3,
    "per_person": 0,
    "monitor": "generative",
}


@pytest.fixture(scope="module")
def regions() -> list[str]:
    """Six regions of each network, in the order of the atlas: left, right, …"""
    known = load_atlas("aal").regions
    in_network = {n: [r for r in known if network_of(r) == n] for n in NETWORKS}
    return [r for n in NETWORKS for r in in_network[n][:PER_NETWORK]]


def simulated(regions: list[str], n_people: int, n_volumes: int) -> Series:
    """The simulator's neural signals: networks, pairs of hemispheres, own noise."""
    people = []
    for person in range(n_people):
        rng = np.random.default_rng([7, person])
        traits = Traits(
            coupling=np.zeros(0),
            loading=np.exp(rng.normal(0, 0.2, len(regions))),
            motion=0.1,
            leak=np.ones(2),
        )
        one = neural(regions, (), traits, n_volumes=n_volumes, tr_s=2.0, rng=rng)
        people.append((one - one.mean(axis=0)) / one.std(axis=0))
    return Series.of(people)


def learned(series: Series, **settings: object) -> np.ndarray:
    """Membership weights of an lstm-dg; the labels are of nothing."""
    y, people = np.arange(len(series)) % 2, np.arange(len(series))
    valid = people % 10 >= 8
    model = find("lstm-dg").make(seed=0, **settings)
    model.fit(series[people[~valid]], y[~valid], (series[people[valid]], y[valid]))
    return model.network.state_dict()["generator.weight"].numpy()


def recovered(membership: np.ndarray, regions: list[str]) -> float:
    """Mean over the planted communities of the best Dice of the found ones."""
    truth = np.array([[network_of(r) == n for n in NETWORKS] for r in regions])
    found = members(membership).astype(int)
    common = truth.T.astype(int) @ found
    dice = 2 * common / np.add.outer(truth.sum(axis=0), found.sum(axis=0))
    return float(dice.max(axis=1).mean())


def test_the_joint_lstm_finds_the_simulator_s_networks(regions):
    weights = learned(simulated(regions, N_PEOPLE, 120), **SETTINGS)
    assert weights.min() >= 0
    assert recovered(weights, regions) >= 0.8


@pytest.mark.slow
def test_fifty_communities_of_the_default_recipe_hold_them_too(regions):
    weights = learned(simulated(regions, 150, 180))
    assert weights.shape == (len(regions), 50)
    assert recovered(weights, regions) >= 0.8


def test_the_tensor_of_correlations_finds_them_too(regions):
    series = simulated(regions, N_PEOPLE, 120)
    found = tensor_communities(series, rank=6, window=20)
    assert recovered(found.regions, regions) >= 0.8


def test_weights_of_chance_recover_nothing(regions):
    weights = np.random.default_rng(0).random((len(regions), 6))
    assert recovered(weights, regions) < 0.7
