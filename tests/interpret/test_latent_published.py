"""Published latents of a contrastive VAE (ABIDE), against scipy and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kendalltau
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture

from bidsclf.interpret.latent import (
    BACKGROUND,
    DIFFERENCE,
    SALIENT,
    mixtures,
    read_trait,
    silhouettes,
    similarities,
)

NUMBERS = ("ADOS_Total", "VINELAND_ABC_Standard", "FIQ", "AgeAtScan")
CATEGORIES = ("Sex", "DSMIVTR", "ScanSite", "ScannerType")
SPACES = {SALIENT: "salient_vec_abide", BACKGROUND: "background_vec_abide"}


@pytest.fixture(scope="module")
def published(shared_data):
    """Latents of draw 0 and the table, of the patients."""
    folder = shared_data / "cvae"
    if not folder.is_dir():
        pytest.skip(f"no published latents in {folder}")
    people = pd.read_csv(folder / "ABIDE_legend_S982.csv")
    is_patient = people["Subject Type"] == "PATIENT"
    with np.load(folder / "latent_vecs10.npz") as kept:
        latents = {name: kept[key][0][is_patient] for name, key in SPACES.items()}
    return latents, people[is_patient].reset_index(drop=True)


@pytest.fixture(scope="module")
def tables(published):
    """Both tables of all the traits named above."""
    latents, people = published
    traits = [read_trait(name, people[name]) for name in NUMBERS]
    traits += [read_trait(n, people[n], is_category=True) for n in CATEGORIES]
    told = (latents, traits)
    return [t(*told, n_permutations=19, seed=0) for t in (similarities, silhouettes)]


def cells(people, name):
    """Return who knows a trait, and the value or the code of each of them."""
    known = people[name].notna() & ~people[name].isin([-999, -9999])
    values = people.loc[known, name]
    return known.to_numpy(), values.factorize()[0] if name in CATEGORIES else values


@pytest.mark.parametrize("name", [*NUMBERS, *CATEGORIES])
def test_tau_is_scipys(published, tables, name):
    (latents, people), (rsa, _) = published, tables
    known, values = cells(people, name)
    metric = "cityblock" if name in NUMBERS else "hamming"
    apart = pdist(np.asarray(values, float)[:, None], metric)
    rows = rsa[rsa["trait"] == name].set_index("space")
    taus = [
        kendalltau(pdist(latents[space][known].astype(float)), apart).statistic
        for space in SPACES
    ]
    assert rows["n"].tolist() == [known.sum()] * 3
    expected = [*taus, taus[0] - taus[1]]
    np.testing.assert_allclose(rows["tau"], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", [*NUMBERS, *CATEGORIES])
def test_silhouettes_are_scikit_learns(published, tables, name):
    (latents, people), (_, apart) = published, tables
    known, values = cells(people, name)
    group = np.asarray(values if name in CATEGORIES else values > values.median())
    sizes = np.bincount(group.astype(int))
    kept = sizes[group.astype(int)] > 1
    rows = apart[apart["trait"] == name].set_index("space")
    assert rows["n"].tolist() == [kept.sum()] * 3
    for space in SPACES:
        expected = silhouette_score(
            latents[space][known][kept].astype(float), group[kept]
        )
        assert rows.loc[space, "silhouette"] == pytest.approx(expected, abs=1e-12)


def test_the_site_lies_in_the_background_by_an_independent_null(published, tables):
    latents, people = published
    apart = people["ScanSite"].to_numpy()[:, None] != people["ScanSite"].to_numpy()
    placed, rng = pdist(latents[BACKGROUND].astype(float)), np.random.default_rng(1)
    orders = [
        np.arange(len(people)),
        *(rng.permutation(len(people)) for _ in range(19)),
    ]
    null = [
        kendalltau(placed, squareform(apart[np.ix_(one, one)])).statistic
        for one in orders
    ]
    assert max(null[1:]) < null[0]
    rows = tables[0].set_index(["trait", "space"])
    assert rows.loc[("ScanSite", BACKGROUND), "p"] == 1 / 20
    assert rows.loc[("ScanSite", DIFFERENCE), "tau"] < 0


@pytest.mark.parametrize("space", SPACES)
def test_bic_is_scikit_learns_on_the_latents_themselves(published, space):
    latent = published[0][space].astype(float)
    table = mixtures(latent, most=2, seed=0)
    one = table[(table["n_components"] == 1) & (table["shape"] == "full")]
    values, axes = np.linalg.eigh(np.cov(latent.T))
    used = latent @ axes[:, values > 0.05 * values.max()]
    assert table["n_axes"].unique() == [used.shape[1]]
    ridge = 1e-6 * (used - used.mean(axis=0)).var()
    for row in table.itertuples():
        peer = GaussianMixture(
            row.n_components, covariance_type=row.shape, reg_covar=ridge, n_init=5,
            max_iter=1000, random_state=3,
        ).fit(used)  # fmt: skip
        tolerance = 1e-6 if row.n_components == 1 else 20  # starts differ
        assert row.bic == pytest.approx(peer.bic(used), abs=tolerance)
    assert len(one) == 1


def test_the_patients_are_one_kind_in_the_salient_space(published):
    table = mixtures(published[0][SALIENT], most=3, seed=0)
    assert table.loc[table["is_best"], "n_components"].tolist() == [1]
