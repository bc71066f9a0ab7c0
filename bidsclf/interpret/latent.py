"""What latent spaces mean: which traits lie in them, and how many kinds of people.

After the analyses of the source (``cvae``), with nulls over people where it took draws
of one model for people.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kendalltau
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.mixture import GaussianMixture

from bidsclf.errors import InputError
from bidsclf.evaluate.comparison import holm

MISSING = (-999.0, -9999.0)  # codes of the published tables
LEAST = 10  # people who know a trait, below which nothing is said; ours
SHAPES = ("full", "tied", "diag", "spherical")  # of the covariances of a mixture
N_STARTS = 5  # of each mixture; ours
RIDGE = 1e-6  # share of the variance that is added to covariances; ours
SALIENT, BACKGROUND = "salient", "background"
DIFFERENCE = f"{SALIENT} - {BACKGROUND}"
Latents = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Trait:
    """What is known of people.

    Attributes
    ----------
    name : str
    values : float array of shape (n_people,)
        Numbers, or codes of categories; NaN where missing.
    is_number : bool
    """

    name: str
    values: np.ndarray
    is_number: bool

    @property
    def known(self) -> np.ndarray:
        """Whose value is known, bool of shape (n_people,)."""
        known: np.ndarray = ~np.isnan(self.values)
        return known

    @property
    def is_said(self) -> bool:
        """Whether enough people know it, and not all have one value."""
        told = self.values[self.known]
        return len(told) >= LEAST and len(np.unique(told)) > 1

    def distances(self) -> np.ndarray:
        """Return (n_people, n_people): by how much two differ, or whether they do."""
        apart: np.ndarray = np.abs(self.values[:, None] - self.values[None])
        return apart if self.is_number else np.where(np.isnan(apart), apart, apart > 0)

    def groups(self) -> np.ndarray:
        """Return categories, or whether a number is above the median: codes, or NaN."""
        if not self.is_number or len(np.unique(self.values[self.known])) == 2:
            return self.values
        above = self.values > np.nanmedian(self.values)
        return np.where(self.known, above, np.nan)


def read_trait(name: str, cells: pd.Series, *, is_category: bool = False) -> Trait:
    """Return a column as a trait.

    Parameters
    ----------
    name : str
    cells : Series of shape (n_people,)
        Numbers are numbers where all known cells are; else words are categories.
        Blank cells, n/a, -999 and -9999 are missing.
    is_category : bool
        Numbers are names, as a scanner's are.

    Examples
    --------
    >>> read_trait("iq", pd.Series(["101", "-999", "98"])).values.tolist()
    [101.0, nan, 98.0]
    """
    text = cells.astype("string").str.strip()
    text = text.mask(text.isin(["", "n/a", "N/A", "NaN", "nan"]))
    numbers = pd.to_numeric(text, errors="coerce").astype("Float64")
    is_missing = text.isna() | numbers.isin(MISSING).fillna(value=False)
    is_number = bool((numbers.notna() | is_missing).all()) and not is_category
    if is_number:
        values = numbers.mask(is_missing).to_numpy(float, na_value=np.nan)
        values = np.where(np.isfinite(values), values, np.nan)
    else:
        codes = pd.factorize(text.mask(is_missing), sort=True)[0]
        values = np.where(codes < 0, np.nan, codes)
    return Trait(name, values, is_number)


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
    trait (absolute difference; 0 or 1 for categories). The null is Mantel's: the
    trait changes people, which keeps that pairs share people.

    Parameters
    ----------
    latents : mapping of str to float array of shape (n_people, d)
        Of the same people.
    traits : sequence of Trait
    n_permutations : int
    seed : int

    Returns
    -------
    table : DataFrame
        space, trait, kind, n (people), tau, p (one-sided: alike; of the row
        'salient - background' two-sided) and p_holm (over all rows). NaN where too
        few people know a trait, or all have one value.

    References
    ----------
    Mantel (1967), Cancer Research 27, 209-220; Kriegeskorte et al. (2008),
    doi:10.3389/neuro.06.004.2008.
    """
    rows = []
    for number, trait in enumerate(traits):
        rng = np.random.default_rng([seed, number])
        rows += _similar(latents, trait, n_permutations, rng)
    return _corrected(pd.DataFrame(rows), "tau")


def _similar(
    latents: Latents, trait: Trait, n: int, rng: np.random.Generator
) -> Iterator[dict[str, object]]:
    """Yield the rows of one trait."""
    known = trait.known
    apart = trait.distances()[np.ix_(known, known)]
    pairs = np.triu_indices(len(apart), k=1)
    orders = [np.arange(len(apart)), *(rng.permutation(len(apart)) for _ in range(n))]
    told = [apart[order][:, order][pairs] for order in orders] if trait.is_said else []
    values = {}
    for space, latent in latents.items():
        placed = pdist(latent[known].astype(float))
        values[space] = np.array([_tau(placed, one) for one in told])
    yield from _rows(values, trait)


def _tau(one: np.ndarray, other: np.ndarray) -> float:
    return float(kendalltau(one, other, method="asymptotic").statistic)


def _rows(values: dict[str, np.ndarray], trait: Trait) -> Iterator[dict[str, object]]:
    """Yield the statistic and p of each space, and of their difference."""
    if {SALIENT, BACKGROUND} <= set(values):
        gap = values[SALIENT] - values[BACKGROUND]
        values = values | {DIFFERENCE: gap}
    for space, drawn in values.items():
        row = {"space": space, "trait": trait.name}
        row |= {"kind": "number" if trait.is_number else "category"}
        row |= {"n": int(trait.known.sum()), "statistic": np.nan, "p": np.nan}
        if len(drawn):
            sizes = np.abs(drawn) if space == DIFFERENCE else drawn
            n_more = int((sizes[1:] >= sizes[0] - 1e-12).sum())
            row |= {"statistic": drawn[0], "p": (n_more + 1) / len(drawn)}
        yield row


def _corrected(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Name the statistic, and add p corrected by Holm over all rows that have one."""
    known = table["p"].notna()
    table["p_holm"] = np.nan
    if known.any():
        table.loc[known, "p_holm"] = holm(table.loc[known, "p"].to_numpy(float))
    return table.rename(columns={"statistic": name})


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
    median of a number and the others. In the null people change groups.

    Returns
    -------
    table : DataFrame
        As of ``similarities``, with ``silhouette`` in place of ``tau``.
    """
    rows = []
    for number, trait in enumerate(traits):
        rng = np.random.default_rng([seed, number])
        rows += _apart(latents, trait, n_permutations, rng)
    return _corrected(pd.DataFrame(rows), "silhouette")


def _apart(
    latents: Latents, trait: Trait, n: int, rng: np.random.Generator
) -> Iterator[dict[str, object]]:
    """Yield the rows of one trait; a group of one person is left out."""
    groups = trait.groups()
    found, counts = np.unique(groups[trait.known], return_counts=True)
    kept = np.isin(groups, found[counts > 1])
    group = groups[kept]
    is_said = trait.is_said and 1 < len(np.unique(group)) < len(group)
    drawn = [group, *(rng.permutation(group) for _ in range(n))] if is_said else []
    values = {}
    for space, latent in latents.items():
        placed = squareform(pdist(latent[kept].astype(float)))
        values[space] = np.array(
            [silhouette_score(placed, one, metric="precomputed") for one in drawn]
        )
    yield from _rows(values, trait)


def mixtures(latent: np.ndarray, *, most: int = 10, seed: int) -> pd.DataFrame:
    """Fit Gaussian mixtures, to tell kinds of people from a continuum.

    Parameters
    ----------
    latent : float array of shape (n_people, d)
    most : int
        Components at most.
    seed : int

    Returns
    -------
    table : DataFrame
        n_components, shape (of the covariances), bic and is_best (the least of all).
        Mixtures of more weights than numbers in ``latent`` are not fitted.

    References
    ----------
    Fraley & Raftery (2002), doi:10.1198/016214502760047131: components and the shape
    of covariances are chosen together.
    """
    wide = np.asarray(latent, float)
    if wide.ndim != 2 or len(wide) < LEAST or not np.isfinite(wide).all():
        raise InputError(
            f"a latent space of shape {wide.shape}; mixtures take {LEAST} people or"
            " more, and finite numbers only."
        )
    ridge = RIDGE * max(float(wide.var(axis=0).mean()), np.finfo(float).tiny)
    rows = []
    for shape in SHAPES:
        for n in range(1, min(most, len(wide) // 2) + 1):
            if n * _weights(shape, wide.shape[1]) > wide.size:
                break
            model = GaussianMixture(
                n, covariance_type=shape, reg_covar=ridge, n_init=N_STARTS,
                max_iter=1000, random_state=seed,
            ).fit(wide)  # fmt: skip
            rows.append({"n_components": n, "shape": shape, "bic": model.bic(wide)})
    table = pd.DataFrame(rows)
    return table.assign(is_best=table["bic"] == table["bic"].min())


def _weights(shape: str, d: int) -> int:
    """Return about how many weights a component has."""
    return d + {"full": d * (d + 1) // 2, "tied": 0, "diag": d, "spherical": 1}[shape]


def planes(latent: np.ndarray, *, seed: int) -> pd.DataFrame:
    """Draw a latent space on planes: pictures, which measure nothing.

    Returns
    -------
    table : DataFrame of shape (n_people, 4)
        pca_1, pca_2, umap_1, umap_2.

    References
    ----------
    McInnes et al. (2018), arXiv:1802.03426, as umap-learn has it.
    """
    from umap import UMAP

    wide = np.asarray(latent, float)
    n_near = max(2, min(15, len(wide) - 1))
    curved = UMAP(n_neighbors=n_near, random_state=seed, n_jobs=1, init="pca")
    flat = PCA(n_components=2, random_state=seed).fit_transform(wide)
    both = np.column_stack([flat, curved.fit_transform(wide)])
    return pd.DataFrame(both, columns=["pca_1", "pca_2", "umap_1", "umap_2"])
