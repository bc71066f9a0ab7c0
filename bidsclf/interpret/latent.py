"""What latent spaces mean: which traits lie in them, and how many kinds of people.

After the analyses of the source (``cvae``), with nulls over people where it took draws
of one model for people.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from bidsclf.interpret import _kendall
from bidsclf.interpret._mantel import (
    BACKGROUND,
    DIFFERENCE,
    ROUNDING,
    SALIENT,
    Latents,
    Statistic,
    checked,
    tabulate,
)
from bidsclf.interpret._silhouette import mean_silhouettes
from bidsclf.interpret._traits import LEAST, MISSING, Trait, read_trait

__all__ = [
    "BACKGROUND", "DIFFERENCE", "LEAST", "MISSING", "SALIENT", "Latents", "Trait",
    "mixtures", "planes", "read_trait", "silhouettes", "similarities",
]  # fmt: skip
UNUSED = 0.05  # share of the largest variance up to which an axis is unused; ours
AXIS_PEOPLE = 5  # people for an axis; ours
FEWEST = 5  # people of a component; ours
FEWEST_DRAWN = 4  # people of a picture by UMAP; ours
N_STARTS = 5  # of each mixture; ours
APART = 3.5  # sd; an even line cut to pieces has them sqrt(12) = 3.46 apart; ours
DECIMALS = 6  # of a BIC, beyond which the first of equals is the best; ours
RIDGE = 1e-6  # share of the variance that is added to covariances; ours


def similarities(
    latents: Latents,
    traits: Sequence[Trait],
    *,
    n_permutations: int,
    seed: int,
    blocks: np.ndarray | None = None,
) -> pd.DataFrame:
    """Tell of each trait whether people alike in it are alike in a latent space.

    Kendall's tau-b between distances of pairs in the space (Euclidean) and in the
    trait (absolute difference; 0 or 1 for categories). The null is Mantel's: people
    change places in the trait, all their pairs with them. Pairs share people, so
    that a test that took pairs for a sample would be far too sure.

    Parameters
    ----------
    latents : mapping of str to float array of shape (n_people, d)
        Of the same people.
    traits : sequence of Trait
    n_permutations : int
    seed : int
    blocks : int array of shape (n_people,), optional
        Latents of two blocks are not comparable, as those of networks of two folds:
        pairs count within a block, tau is the mean over blocks weighted by their
        pairs, and people change places within their block. A block is left out in
        which all know one distance.

    Returns
    -------
    table : DataFrame
        space, trait, kind ('number' or 'category'), n (people), tau, p and p_holm
        (over all rows of the table). NaN where fewer than ten people know a trait,
        all have one value, or all lie in one place. p is (1 + permutations at least
        as far) / (1 + permutations): of a space one-sided (alike), of the row
        'salient - background' two-sided, from the middle of the null. The null of
        that row is that the trait lies in neither space. p_holm is never less than
        rows / (1 + permutations): of many traits ask for many permutations.

    Raises
    ------
    InputError
        A latent space, a trait or the blocks are not of the same people, or a latent
        space is not a table of finite numbers.

    References
    ----------
    Mantel (1967), Cancer Research 27, 209-220; Kriegeskorte et al. (2008),
    doi:10.3389/neuro.06.004.2008.
    """
    statistic = Statistic("tau", lambda trait, _: trait, _alike, _pairs)
    return tabulate(
        statistic, latents, traits, blocks=blocks, n_permutations=n_permutations,
        seed=seed,
    )  # fmt: skip


def _alike(placed: np.ndarray, told: Trait, orders: np.ndarray) -> np.ndarray:
    return _kendall.taus(placed, told.distances(), orders)


def _pairs(n_people: int) -> int:
    return n_people * (n_people - 1) // 2


def silhouettes(
    latents: Latents,
    traits: Sequence[Trait],
    *,
    n_permutations: int,
    seed: int,
    blocks: np.ndarray | None = None,
) -> pd.DataFrame:
    """Tell of each trait how far its groups lie apart in a latent space.

    The mean silhouette of people (Rousseeuw 1987,
    doi:10.1016/0377-0427(87)90125-7) in groups of a category, or of people above the
    median of a number and the others. In the null people change groups. Who is alone
    in a group of a block is left out.

    Parameters
    ----------
    latents, traits, n_permutations, seed, blocks
        As of ``similarities``; blocks are weighted by their people.

    Returns
    -------
    table : DataFrame
        As of ``similarities``, with ``silhouette`` in place of ``tau``.

    Raises
    ------
    InputError
        As of ``similarities``.
    """
    statistic = Statistic("silhouette", _grouped, _apart, int)
    return tabulate(
        statistic, latents, traits, blocks=blocks, n_permutations=n_permutations,
        seed=seed,
    )  # fmt: skip


def _grouped(trait: Trait, blocks: np.ndarray) -> Trait:
    """Return the groups of a trait, without people who are alone in theirs."""
    told = trait.grouped()
    cells = pd.DataFrame({"block": blocks, "group": told.values})
    sizes = cells.groupby(["block", "group"])["group"].transform("size")
    return replace(told, values=np.where(sizes > 1, told.values, np.nan))


def _apart(placed: np.ndarray, told: Trait, orders: np.ndarray) -> np.ndarray:
    return mean_silhouettes(placed, told.values, orders)


def mixtures(latent: np.ndarray, *, most: int = 10, seed: int) -> pd.DataFrame:
    """Fit Gaussian mixtures, to tell kinds of people from a continuum.

    They are fitted on the principal axes whose variance is above 5 % of the largest,
    at most one for five people: what a VAE leaves unused holds noise, whose shape is
    no kind of people. Components have a covariance each ('full', as in the source) or
    share one ('tied'): with both, the verdict stays if the kept axes are turned or
    scaled. 'diag' and 'spherical' covariances cost less than one component that is
    merely long, and cut it to pieces. BIC cuts what is not normal, too: kinds are
    components of which no two are closer than 3.5 sd, as pieces of a continuum are.

    Parameters
    ----------
    latent : float array of shape (n_people, d)
    most : int
        Components at most.
    seed : int

    Returns
    -------
    table : DataFrame
        n_components, shape (of the covariances), n_axes, bic, apart (sd between the
        closest two components, by the mean of their covariances; NaN of one) and
        is_best (the least bic of those whose components are kinds). Mixtures with a
        component of fewer than 5 people are left out, of shape 'full' of fewer than
        2 (n_axes + 1). No row for fewer than ten people, or all in one place.

    Raises
    ------
    InputError
        ``latent`` is not a table of finite numbers.

    References
    ----------
    Schwarz (1978), doi:10.1214/aos/1176344136; Fraley & Raftery (2002),
    doi:10.1198/016214502760047131: components and the shape of covariances are chosen
    together.
    """
    wide = _axes(checked(latent))
    n_people, n_axes = wide.shape
    rows = []
    for shape, fewest in {"full": max(FEWEST, 2 * n_axes + 2), "tied": FEWEST}.items():
        for n in range(1, min(most, n_people // fewest) + 1 if n_axes else 0):
            model = GaussianMixture(
                n, covariance_type=shape, reg_covar=RIDGE * float(wide.var()),
                n_init=N_STARTS, max_iter=1000, random_state=seed,
            ).fit(wide)  # fmt: skip
            if model.weights_.min() * n_people >= fewest - ROUNDING:
                rows.append((n, shape, n_axes, model.bic(wide), _closest(model)))
    names = ["n_components", "shape", "n_axes", "bic", "apart"]
    table = pd.DataFrame(rows, columns=names)
    rivals = table["bic"].astype(float).where(~(table["apart"] < APART))
    return table.assign(is_best=rivals.round(DECIMALS).rank(method="first") == 1)


def _closest(model: GaussianMixture) -> float:
    """Return the least distance of two means in sd of their components, NaN of one."""
    means, n_axes = model.means_, model.means_.shape[1]
    own = np.broadcast_to(model.covariances_, (len(means), n_axes, n_axes))
    gaps = [
        (means[i] - means[j])
        @ np.linalg.solve((own[i] + own[j]) / 2, means[i] - means[j])
        for i, j in combinations(range(len(means)), 2)
    ]
    return float(np.sqrt(min(gaps, default=np.nan)))


def _axes(wide: np.ndarray) -> np.ndarray:
    """Return people on the principal axes that are used, float of shape (n, n_axes)."""
    if len(wide) < LEAST or not np.ptp(wide, axis=0).any():
        return np.empty((len(wide), 0))
    most = min(wide.shape[1], len(wide) // AXIS_PEOPLE)
    fitted = PCA(most, svd_solver="full").fit(wide)
    is_used = fitted.explained_variance_ > UNUSED * fitted.explained_variance_[0]
    turned: np.ndarray = fitted.transform(wide)[:, is_used]
    return turned


def planes(latent: np.ndarray, *, seed: int) -> pd.DataFrame:
    """Draw a latent space on planes: pictures, which measure nothing.

    UMAP pulls neighbours together and tears apart what is even: it draws islands of a
    continuum too, and gaps between them have no size.

    Parameters
    ----------
    latent : float array of shape (n_people, d)
    seed : int
        The same seed gives the same picture, on one kind of processor.

    Returns
    -------
    table : DataFrame of shape (n_people, 4)
        pca_1, pca_2 (0 where there is no such axis), umap_1, umap_2 (NaN for fewer
        than four people, or all in one place).

    Raises
    ------
    InputError
        ``latent`` is not a table of finite numbers.

    References
    ----------
    McInnes et al. (2018), arXiv:1802.03426, as umap-learn has it.
    """
    wide = checked(latent)
    flat, curved = np.zeros((len(wide), 2)), np.full((len(wide), 2), np.nan)
    if len(wide) and np.ptp(wide, axis=0).any():
        n_axes = min(2, *wide.shape)
        flat[:, :n_axes] = PCA(n_axes, svd_solver="full").fit_transform(wide)
        if len(wide) >= FEWEST_DRAWN:
            curved = _curved(wide, seed)
    both = np.column_stack([flat, curved])
    return pd.DataFrame(both, columns=["pca_1", "pca_2", "umap_1", "umap_2"])


def _curved(wide: np.ndarray, seed: int) -> np.ndarray:
    """Return UMAP's plane, float of shape (n, 2)."""
    from umap import UMAP

    n_near = min(15, len(wide) - 1)
    umap = UMAP(n_neighbors=n_near, random_state=seed, n_jobs=1, init="pca")
    plane: np.ndarray = umap.fit_transform(np.pad(wide, ((0, 0), (0, 1))))
    return plane
