"""Mixtures and pictures of latent spaces."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, ortho_group
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from bidsclf.errors import InputError
from bidsclf.interpret.latent import mixtures, planes


def crowd(n_kinds, seed=0, n=120, d=16):
    """Return people around as many places, six sd apart, some axes narrower."""
    rng = np.random.default_rng([seed, n_kinds, n])
    angle = 2 * np.pi * np.arange(n_kinds) / n_kinds
    places = np.zeros((n_kinds, d))
    if n_kinds > 1:
        radius = 3 / np.sin(np.pi / n_kinds)
        places[:, :2] = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    people = rng.normal(size=(n, d)) + places[rng.integers(n_kinds, size=n)]
    narrowed = people * np.geomspace(1, 0.15, d)
    return narrowed @ ortho_group.rvs(d, random_state=seed)


def best(latent, **settings):
    table = mixtures(latent, **{"most": 5, "seed": 0} | settings)
    return int(table.loc[table["is_best"], "n_components"].iloc[0])


def bic(model, x):
    """Return BIC from the likelihood of each person and a count of the weights."""
    n, d = x.shape
    covariances = np.broadcast_to(model.covariances_, (model.n_components, d, d))
    parts = [
        w * multivariate_normal(m, c).pdf(x)
        for w, m, c in zip(model.weights_, model.means_, covariances, strict=True)
    ]
    n_covariances = 1 if model.covariance_type == "tied" else model.n_components
    n_weights = model.n_components * (d + 1) - 1 + n_covariances * d * (d + 1) // 2
    return n_weights * np.log(n) - 2 * np.log(np.sum(parts, axis=0)).sum()


def sd_apart(model):
    """Return the distance of two means in units of the mean covariance."""
    covariance = np.broadcast_to(
        model.covariances_, (2, *model.covariances_.shape[-2:])
    )
    whiten = np.linalg.cholesky(np.linalg.inv(covariance.mean(axis=0)))
    return np.linalg.norm((model.means_[0] - model.means_[1]) @ whiten)


@pytest.mark.parametrize("n_kinds", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_kinds_are_counted_and_one_crowd_is_one(n_kinds, seed):
    assert best(crowd(n_kinds, seed)) == n_kinds


def test_one_long_crowd_is_no_kinds():
    rng = np.random.default_rng(0)
    long = rng.normal(size=(120, 8))
    long[:, 0] = rng.uniform(-5, 5, size=120)
    assert best(long) == 1


@pytest.mark.parametrize("seed", range(3))
def test_small_groups_are_not_cut_to_pieces(seed):
    assert best(crowd(1, seed, n=40)) == 1


def test_bic_is_that_of_the_formula_on_the_principal_axes():
    latent = crowd(2, d=4, n=80)
    table = mixtures(latent, most=3, seed=0)
    x = PCA().fit_transform(latent)[:, : table["n_axes"][0]]
    for row in table.itertuples():
        model = GaussianMixture(
            row.n_components, covariance_type=row.shape, n_init=5, random_state=0,
            reg_covar=1e-6 * x.var(), max_iter=1000,
        ).fit(x)  # fmt: skip
        assert row.bic == pytest.approx(bic(model, x), abs=1e-6)
        if row.n_components == 2:
            assert row.apart == pytest.approx(sd_apart(model), rel=1e-6)
    assert set(table["shape"]) == {"full", "tied"}
    assert table["apart"].isna().tolist() == (table["n_components"] == 1).tolist()
    assert table["is_best"].sum() == 1
    assert table["bic"].idxmin() == table["is_best"].idxmax()


def test_pieces_of_a_continuum_are_no_kinds_though_bic_asks_for_them():
    rng = np.random.default_rng(0)
    line = np.column_stack([rng.uniform(-9, 9, 300), rng.normal(size=(300, 2))])
    table = mixtures(line, most=4, seed=0)
    assert table.loc[table["bic"].idxmin(), "n_components"] > 1
    assert table["apart"].min() < np.sqrt(12) + 0.2
    assert best(line) == 1


def test_one_component_is_the_same_in_both_shapes():
    table = mixtures(crowd(1), most=1, seed=0)
    assert table["bic"][0] == pytest.approx(table["bic"][1])


def test_turning_moving_and_scaling_a_space_changes_no_bic_but_by_its_unit():
    latent = crowd(2, d=4, n=80)
    turned = latent @ ortho_group.rvs(4, random_state=3) * 10 + 7
    one, two = (mixtures(z, most=3, seed=0) for z in (latent, turned))
    unit = 2 * 80 * one["n_axes"] * np.log(10)
    np.testing.assert_allclose(two["bic"], one["bic"] + unit, atol=1e-3)


def test_unused_axes_change_nothing():
    rng = np.random.default_rng(0)
    used = crowd(2, d=3, n=100)
    dead = 0.01 * rng.integers(2, size=(100, 5))  # of two kinds, each
    wide = np.column_stack([used, dead])
    one, two = (mixtures(z, most=3, seed=0) for z in (used, wide))
    assert one["n_axes"].unique() == two["n_axes"].unique()
    np.testing.assert_allclose(two["bic"], one["bic"], atol=0.1)


def test_there_are_five_people_to_an_axis():
    assert mixtures(crowd(1, d=16, n=40), most=1, seed=0)["n_axes"].max() == 8


def test_no_component_is_of_a_few_people():
    latent = np.vstack([crowd(1, d=3, n=60), 5 + crowd(1, d=3, n=2)])
    assert best(latent) == 1


@pytest.mark.parametrize("latent", [np.ones((50, 4)), np.eye(9), np.empty((0, 4))])
def test_too_few_people_or_all_in_one_place_have_no_mixture(latent):
    table = mixtures(latent, seed=0)
    assert len(table) == 0
    assert list(table) == [
        "n_components", "shape", "n_axes", "bic", "apart", "is_best",
    ]  # fmt: skip


@pytest.mark.parametrize("tell", [mixtures, planes])
def test_latents_that_are_not_finite_are_refused(tell):
    latent = np.ones((20, 3))
    latent[4, 1] = np.nan
    with pytest.raises(InputError, match=r"not finite in rows \[4\].*diverge"):
        tell(latent, seed=0)
    with pytest.raises(InputError, match=r"\(20,\)"):
        tell(np.ones(20), seed=0)


@pytest.mark.slow
def test_pictures_are_the_same_with_the_same_seed():
    latent = crowd(2, n=40, d=5)
    one, two, other = (planes(latent, seed=seed) for seed in (0, 0, 1))
    assert one.equals(two)
    assert not one["umap_1"].equals(other["umap_1"])
    assert np.isfinite(one).all(axis=None)
    flat = PCA(2).fit_transform(latent)
    np.testing.assert_allclose(np.abs(one[["pca_1", "pca_2"]]), np.abs(flat), atol=1e-9)


def test_kinds_that_lie_apart_lie_apart_in_the_picture():
    latent = np.repeat([[0.0] * 5, [9.0] * 5], 20, axis=0) + crowd(1, n=40, d=5)
    drawn = planes(latent, seed=0)[["umap_1", "umap_2"]].to_numpy()
    centres = drawn[:20].mean(axis=0), drawn[20:].mean(axis=0)
    away = np.linalg.norm(drawn[:, None] - centres, axis=2)
    assert (away.argmin(axis=1) == np.repeat([0, 1], 20)).all()


@pytest.mark.parametrize(
    ("latent", "n_flat", "is_curved"),
    [
        (np.empty((0, 3)), 0, False),
        (np.ones((1, 3)), 0, False),
        (np.ones((9, 3)), 0, False),
        (np.eye(3), 2, False),
        (np.eye(4), 2, True),
        (np.arange(12.0)[:, None], 1, True),
    ],
)
def test_few_people_and_few_axes_are_drawn_as_far_as_they_go(latent, n_flat, is_curved):
    table = planes(latent, seed=0)
    assert len(table) == len(latent)
    assert table[["pca_1", "pca_2"]].any().sum() == n_flat
    assert table[["umap_1", "umap_2"]].notna().all(axis=None) == (
        is_curved or not len(latent)
    )
