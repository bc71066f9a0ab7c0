"""The effect of kind volume: where it is, what it is, and that edges do not hold it."""

from dataclasses import replace

import numpy as np
import pytest

from bidsclf.files import store
from bidsclf.sources import _layout, _signals, _spheres, _study
from bidsclf.sources._anatomy import Anatomy, load_anatomy
from bidsclf.sources._confounds import confounds
from bidsclf.sources._settings import StudyConfig
from bidsclf.sources._volumes import Run, simulate_run

CONFIG = StudyConfig(effect_kind="volume", n_volumes=80, n_sites=1, site_effect=0)


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return load_anatomy(8, seed=0)


def run_of(anatomy: Anatomy, strength: float | None, seed: int = 0) -> np.ndarray:
    """A person's volumes; the same seed is the same person."""
    rng, edges = np.random.default_rng(seed), _study.edges()
    traits = _signals.draw_traits(edges, len(anatomy.regions), shift=0, rng=rng)
    (site,) = _study.sites(CONFIG)
    return simulate_run(
        anatomy, edges, replace(traits, spheres=strength), site, rng
    ).volumes


def test_spheres_lie_around_their_centres_and_outside_every_region(anatomy):
    first, second = _spheres.spheres(anatomy)
    assert not (first & second).any()
    indices = np.argwhere(anatomy.mask)
    for held, centre in zip((first, second), _spheres.CENTRES_MM, strict=True):
        assert held.sum() > 25
        assert (anatomy.region[held] == -1).all()
        at_mm = np.c_[indices[held], np.ones(held.sum())] @ anatomy.affine.T
        assert np.abs(at_mm.mean(axis=0)[:3] - centre).max() < 4
        away_mm = np.sqrt(((at_mm[:, :3] - centre) ** 2).sum(axis=1))
        assert away_mm.max() <= 16


def test_patients_differ_in_the_spheres_alone_and_not_without_an_effect(anatomy):
    """The same person with and without: nothing else is touched, bit by bit."""
    none, zero, one = (run_of(anatomy, strength) for strength in (None, 0.0, 1.0))
    held = _spheres.spheres(anatomy).any(axis=0)
    np.testing.assert_array_equal(none, zero)
    np.testing.assert_array_equal(none[:, ~held], one[:, ~held])
    raised = one[1:, held].mean() / none[1:, held].mean()
    assert raised == pytest.approx(1.15, abs=0.02)


def test_confounds_of_tissues_do_not_hold_the_wave(anatomy):
    """Else denoising would bring it into every region, and so onto every edge."""
    runs = [
        Run(volumes=volumes, motion=np.zeros((len(volumes), 6)), tr_s=2.0)
        for volumes in (run_of(anatomy, 0.0), run_of(anatomy, 2.0))
    ]
    for tissues, is_held in ((anatomy, True), (_spheres.spared(anatomy), False)):
        without, with_wave = (
            confounds(run, tissues)[0].filter(regex="white_matter|csf|[acw]_comp_cor")
            for run in runs
        )
        assert len(without.columns) > 10
        assert without.equals(with_wave) != is_held


@pytest.mark.parametrize("tr_s", [0.8, 2.0])
def test_the_wave_reaches_the_second_sphere_a_quarter_cycle_later(tr_s):
    n_volumes, alone = 20_000, np.eye(2, dtype=bool)
    share = _spheres.factors(
        alone, 2.0, n_volumes=n_volumes, tr_s=tr_s, rng=np.random.default_rng(0)
    )
    first, second = share.T - 1
    assert first.mean() == pytest.approx(0.3, abs=0.02)  # RAISE at strength 2
    assert np.ptp(first) == pytest.approx(0.2, abs=0.01)  # WAVE, both ways
    lags = np.arange(round(24 / tr_s))
    along = [np.mean((first - 0.3)[: n_volumes - k] * (second - 0.3)[k:]) for k in lags]
    assert lags[np.argmax(along)] * tr_s == pytest.approx(6, abs=tr_s)


def test_a_controls_spheres_are_as_the_rest():
    sick, well = (
        _study.sphere_strength(replace(CONFIG, effect=0.5), is_patient=is_patient)
        for is_patient in (True, False)
    )
    assert (sick, well) == (0.5, 0)
    assert _study.sphere_strength(StudyConfig(), is_patient=True) is None
    for is_patient in (True, False):
        assert _study.edge_shift(CONFIG, is_patient=is_patient) == 0
        assert _study.wave_direction(CONFIG, is_patient=is_patient) is None


def test_the_truth_says_where_and_what(tmp_path):
    _layout.write_study(tmp_path, replace(CONFIG, effect=2.0))
    truth = store.read_json(tmp_path / _layout.TRUTH)
    assert truth["edges"] == []
    assert truth["settings"]["effect_kind"] == "volume"
    assert "wave" not in truth
    assert truth["spheres"] == {
        "centres_mm": [[-28.0, -18.0, 34.0], [26.0, -40.0, 26.0]],
        "radius_mm": 16.0,
        "without": "regions of the AAL atlas; confounds are taken without the spheres",
        "patients": {
            "raised_mean_share": 0.3,
            "wave_amplitude_share": 0.1,
            "period_s": 24.0,
            "coherence_s": 72.0,
            "lag_of_the_second_s": 6.0,
        },
    }
    name = store.read_json(tmp_path / "dataset_description.json")["Name"]
    assert name == "Simulated study, seed 0, volume effect"
