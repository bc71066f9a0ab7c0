"""Steps and likelihoods of hidden Markov models: against hmmlearn, in closed form."""

import logging

import numpy as np
import pytest
import torch
from hmmlearn.hmm import GaussianHMM
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from bidsclf.models._hmm import (
    LEAST_LOG,
    LEAST_VARIANCE,
    Chains,
    begin,
    improve,
    learn,
    log_likelihood,
)
from bidsclf.models._sequences import Sequences

LENGTHS = (41, 38, 38, 20, 9, 2, 1)
NO_FLOOR = torch.zeros(3, dtype=torch.float64)


def people(seed: int = 0, lengths=LENGTHS, n_regions: int = 3) -> list[np.ndarray]:
    """Series that dwell at a few levels, another number of them in each region."""
    rng, made = np.random.default_rng(seed), []
    for length in lengths:
        level = rng.integers(0, 2 + np.arange(n_regions), (length, n_regions))
        level[1:] = np.where(rng.random(level[1:].shape) < 0.6, level[:-1], level[1:])
        made.append((level + 0.4 * rng.normal(size=level.shape)).astype(np.float32))
    return made


def peer(chains: Chains, region: int, n_iter: int = 1) -> GaussianHMM:
    """Return hmmlearn's model of a region, without its prior on variances."""
    model = GaussianHMM(
        chains.means.shape[1],
        covariance_type="diag",
        covars_prior=0,  # 0.01 by default; with 0 a step is maximum likelihood
        init_params="",
        n_iter=n_iter,
        tol=-np.inf,
    )
    model.startprob_, model.transmat_ = chains.start[region], chains.moves[region]
    model.startprob_ = model.startprob_.numpy()
    model.transmat_ = model.transmat_.numpy()
    model.means_ = chains.means[region, :, None].numpy()
    model.covars_ = chains.variances[region, :, None].numpy()
    return model


def columns(series: list[np.ndarray], region: int) -> list[np.ndarray]:
    return [one[:, region, None].astype(np.float64) for one in series]


def uneven(chains: Chains, seed: int) -> Chains:
    """Return other models: no symmetry hides an exchange of states."""
    rng = np.random.default_rng(seed)
    shape = tuple(chains.means.shape)
    start, moves = rng.random(shape) + 0.1, rng.random((*shape, shape[1])) + 0.1
    return Chains(
        torch.tensor(start / start.sum(-1, keepdims=True)),
        torch.tensor(moves / moves.sum(-1, keepdims=True)),
        chains.means + 0.2 * torch.tensor(rng.normal(size=shape)),
        chains.variances * torch.tensor(rng.random(shape) + 0.5),
    )


@pytest.mark.parametrize("n_states", [1, 2, 3, 6])
def test_likelihoods_equal_hmmlearn_for_series_of_different_lengths(n_states):
    series = people(n_states)
    sequences = Sequences.of(series)
    chains = uneven(begin(sequences, n_states), n_states)
    found = log_likelihood(chains, sequences).numpy()
    for region in range(3):
        model = peer(chains, region)
        expected = [model.score(one) for one in columns(series, region)]
        np.testing.assert_allclose(found[region], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_states", [2, 3, 5])
def test_em_equals_hmmlearn_after_several_steps(n_states):
    logging.getLogger("hmmlearn").setLevel(logging.CRITICAL)
    series = people(n_states)[:6]  # hmmlearn's default also takes one volume; ours not
    sequences = Sequences.of(series)
    start = uneven(begin(sequences, n_states), n_states)
    learned, n_steps = learn(start, sequences, 7, -np.inf)
    found = log_likelihood(learned, sequences).numpy()
    assert (n_steps == 7).all()
    for region in range(3):
        own = columns(series, region)
        model = peer(start, region, 7).fit(np.concatenate(own), [len(o) for o in own])
        expected = [model.score(one) for one in own]
        np.testing.assert_allclose(found[region], expected, rtol=0, atol=1e-6)
        np.testing.assert_allclose(learned.moves[region], model.transmat_, atol=1e-7)
        np.testing.assert_allclose(learned.start[region], model.startprob_, atol=1e-7)
        np.testing.assert_allclose(
            learned.means[region, :, None], model.means_, atol=1e-7
        )


def test_single_precision_is_near():
    series = people(3)
    exact = Sequences.of(series)
    start = begin(exact, 3)
    learned = [learn(start, one, 5, -np.inf)[0] for one in (exact, exact.single())]
    one, other = (log_likelihood(chains, exact) for chains in learned)
    np.testing.assert_allclose(other, one, rtol=0, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), n_states=st.integers(1, 4))
def test_em_never_lowers_the_likelihood(seed, n_states):
    sequences = Sequences.of(people(seed, lengths=(17, 11, 11, 4)))
    chains, room = begin(sequences, n_states), sequences.room(n_states)
    gains = []
    for _ in range(6):
        chains, now = improve(chains, sequences, NO_FLOOR + 1e-3, room)
        gains.append(now.numpy())
    assert (np.diff(gains, axis=0) > -1e-9).all()


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_people_do_not_see_each_other(seed):
    """Padding, order and company change no likelihood."""
    series = people(seed)
    chains = uneven(begin(Sequences.of(series), 3), seed)
    together = log_likelihood(chains, Sequences.of(series)).numpy()
    for person, one in enumerate(series):
        alone = log_likelihood(chains, Sequences.of([one])).numpy()
        np.testing.assert_allclose(together[:, [person]], alone, rtol=1e-12, atol=1e-12)


def test_one_state_is_the_normal_density():
    series = people()
    sequences = Sequences.of(series)
    chains, _ = learn(begin(sequences, 1), sequences, 3, 0.0)
    joined = np.concatenate(series[:6])  # one volume alone does not vary
    expected = [
        norm(joined.mean(0), joined.std(0)).logpdf(one).sum(axis=0) for one in series
    ]
    found = log_likelihood(chains, sequences).T
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_start_stands_at_quantiles_and_has_the_mean_of_the_region():
    chains = begin(Sequences.of(people()), 4)
    joined = np.concatenate(people()[:6])
    quantiles = norm(joined.mean(0), joined.std(0)).ppf(
        [[0.125], [0.375], [0.625], [0.875]]
    )
    np.testing.assert_allclose(chains.means.T, quantiles, rtol=1e-5)
    np.testing.assert_allclose(chains.moves.sum(2), np.ones((3, 4)))


def test_a_constant_series_is_not_learned_from_and_leaves_a_finite_model():
    series = people()
    for one in series:
        one[:, 1] = 0
    series[0][:, 2] = 5
    sequences = Sequences.of(series)
    chains, _ = learn(begin(sequences, 3), sequences, 4, 0.0)
    without = Sequences.of(series[1:])
    expected, _ = learn(begin(without, 3), without, 4, 0.0)
    np.testing.assert_allclose(chains.means[2], expected.means[2])
    np.testing.assert_allclose(chains.moves[2], expected.moves[2])
    assert torch.isfinite(log_likelihood(chains, sequences)).all()


def test_no_state_shrinks_to_one_value():
    """Most volumes hold exactly one value: a state on it would be without width."""
    series = people(lengths=(30, 30))
    for one in series:
        one[:20] = 1
    sequences = Sequences.of(series)
    chains, _ = learn(begin(sequences, 3), sequences, 60, 0.0)
    floor = LEAST_VARIANCE * np.concatenate(series).var(axis=0)
    np.testing.assert_allclose(chains.variances.min(dim=1)[0], floor, rtol=1e-5)


@pytest.mark.parametrize("is_single", [False, True])
def test_a_wild_volume_keeps_the_likelihood_finite(is_single):
    chains = begin(Sequences.of(people()), 2)
    chains.moves[:] = torch.eye(2).double()  # no way back from the wrong state
    wild = np.tile([[-1e3], [1e3]], (20, 3)).astype(np.float32)
    sequences = Sequences.of([wild])
    sequences = sequences.single() if is_single else sequences
    found = log_likelihood(chains, sequences)
    assert torch.isfinite(found).all()
    assert (found < 39 * LEAST_LOG[sequences.powers.dtype]).all()


@pytest.mark.parametrize("left", [np.nan, np.inf, 7.0])
def test_what_memory_held_before_is_not_read(left):
    sequences = Sequences.of(people())
    chains, room = begin(sequences, 3), sequences.room(3)
    one, _ = improve(chains, sequences, NO_FLOOR, room)
    other, _ = improve(chains, sequences, NO_FLOOR, torch.full_like(room, left))
    for name in Chains.__slots__:
        assert torch.equal(getattr(one, name), getattr(other, name))


def test_a_region_stops_alone():
    series = people(lengths=[40] * 5)
    for one in series:
        one[:, 0] = np.random.default_rng(0).normal(size=40)
    sequences = Sequences.of(series)
    together, n_steps = learn(begin(sequences, 2), sequences, 50, 1e-3)
    assert len(set(n_steps.tolist())) > 1
    for region in range(3):
        part = sequences.regions(slice(region, region + 1))
        alone, n_alone = learn(begin(part, 2), part, 50, 1e-3)
        assert n_alone[0] == n_steps[region]
        np.testing.assert_allclose(alone.means[0], together.means[region])
