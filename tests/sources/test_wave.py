"""The dynamic effect: what one moment shows is equal, the order in time is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.sources import _signals, _study
from bidsclf.sources._settings import StudyConfig
from bidsclf.sources._wave import COHERENCE_S, PERIOD_S, phases, travelling_wave

REGIONS = tuple(
    f"{name}_{side}"
    for name in ("Precuneus", "Calcarine", "Heschl", "Insula", "Caudate", "Vermis_3")
    for side in "LR"
)
PHASES = phases(REGIONS)


def wave(direction: float, *, tr_s: float = 2.0, n: int = 40_000) -> np.ndarray:
    rng = np.random.default_rng(7)
    return travelling_wave(PHASES, direction, n_volumes=n, tr_s=tr_s, rng=rng)


def expected(lag_s: float, direction: float) -> np.ndarray:
    """Covariance of region a, lag_s later, with region b, from the law of the wave."""
    angle = 2 * np.pi * lag_s / PERIOD_S
    d = PHASES[:, None] - PHASES[None, :]
    along = np.cos(angle) * np.cos(d) + direction * np.sin(angle) * np.sin(d)
    return np.exp(-abs(lag_s) / COHERENCE_S) * along


@pytest.mark.parametrize("direction", [1.0, -1.0, 0.4])
@pytest.mark.parametrize(("tr_s", "lag"), [(2.0, 0), (2.0, 2), (0.8, 5), (3.0, 1)])
def test_covariances_are_those_of_theory(direction, tr_s, lag):
    found = wave(direction, tr_s=tr_s)
    later, now = found[lag:], found[: len(found) - lag]
    np.testing.assert_allclose(
        later.T @ now / len(now), expected(lag * tr_s, direction), atol=0.06
    )


def test_at_one_moment_the_direction_is_not_seen():
    for direction in (1.0, 0.3, -1.0):
        np.testing.assert_array_equal(expected(0, direction), expected(0, 1.0))
    differ = np.abs(expected(4, 1.0) - expected(4, -1.0))
    assert differ.max() > 1
    np.testing.assert_allclose(np.diag(differ), 0, atol=1e-12)  # equal spectra


@given(seed=st.integers(0, 2**16), tr_s=st.floats(0.8, 3.5))
def test_one_way_is_the_other_backwards(seed, tr_s):
    """Reversed in time, a wave has the lagged covariance of its counterpart."""
    np.testing.assert_allclose(expected(tr_s, 1.0).T, expected(tr_s, -1.0), atol=1e-12)
    rng = np.random.default_rng(seed)
    found = travelling_wave(PHASES, 1.0, n_volumes=300, tr_s=tr_s, rng=rng)
    assert turning(found) > 0 > turning(found[::-1])


def turning(series: np.ndarray) -> float:
    """Mean sense in which the wave's plane is turned: positive for controls."""
    plane = series @ np.exp(1j * PHASES)
    return float((plane[1:] * plane[:-1].conj()).imag.mean())


def person(direction: float | None, seed: int, *, tr_s: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    traits = _signals.Traits(
        coupling=np.zeros(0),
        loading=np.ones(len(REGIONS)),
        motion=0.1,
        leak=np.ones(2),
        wave=direction,
    )
    return _signals.neural(REGIONS, (), traits, n_volumes=200, tr_s=tr_s, rng=rng)


@pytest.mark.parametrize("tr_s", [0.8, 2.0, 3.0])
def test_each_person_turns_their_group_s_way_at_any_repetition_time(tr_s):
    for seed in range(8):
        assert turning(person(1.0, seed, tr_s=tr_s)) > 0
        assert turning(person(-1.0, seed, tr_s=tr_s)) < 0


def test_groups_have_the_same_correlations_in_expectation():
    means = [
        np.mean([np.corrcoef(person(way, seed).T) for seed in seeds], axis=0)
        for way, seeds in ((1.0, range(150)), (-1.0, range(200, 350)))
    ]
    assert np.abs(means[0] - means[1]).max() < 0.1
    shares = _signals.NETWORK + _signals.PARTNER + _signals.OWN
    partners = (_signals.NETWORK + _signals.PARTNER + 0.3) / (shares + 0.3)
    for mean in means:
        assert mean[0, 1] == pytest.approx(partners, abs=0.05)


def test_a_static_study_has_no_wave_and_a_dynamic_one_no_edges():
    for is_patient, sign in ((True, -1), (False, 1)):
        static, dynamic = StudyConfig(), StudyConfig(effect_kind="dynamic", effect=0.5)
        assert _study.wave_direction(static, is_patient=is_patient) is None
        assert _study.edge_shift(dynamic, is_patient=is_patient) == 0
        assert _study.wave_direction(dynamic, is_patient=is_patient) == 0.5 * sign
    strong = StudyConfig(effect_kind="dynamic", effect=3.0)
    assert _study.wave_direction(strong, is_patient=False) == 1
