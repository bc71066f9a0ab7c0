"""What is checked before anything is learned: rows, sites, features, covariates."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.errors import InputError
from bidsclf.harmonize._covariates import SHOWN, names_of

BLOCK = 2048  # features looked at once: bounds the float64 copy; ours
COLLINEAR = 1e-4  # share of a column's norm that others leave unexplained; ours
FLAT = 1e-6  # residual over total standard deviation; ours
ROUNDING = 4  # a feature that varies by fewer units in the last place is constant


def checked(
    x: Any, sites: Any, covariates: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Return features as floats and sites as text.

    Parameters
    ----------
    x : array of shape (n_rows, n_features)
    sites : sequence of length n_rows
    covariates : DataFrame of shape (n_rows, n_covariates)

    Raises
    ------
    InputError
        The lengths differ, a feature is not finite or a site is missing.
    """
    x = np.asarray(x)
    x = x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64)
    if x.ndim != 2 or not len(x) == len(sites) == len(covariates):
        raise InputError(
            f"features of shape {x.shape}, {len(sites)} sites and {len(covariates)}"
            " rows of covariates; expected (rows, features) and a site and a row of"
            " covariates for each. Take all three from the same cohort."
        )
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if bad.size:
        raise InputError(
            f"features: {bad.size} of {len(x)} rows hold values that are not finite,"
            f" first rows {bad[:SHOWN].tolist()}; harmonization takes numbers only. Run"
            " the participant level again for them or leave them out."
        )
    return x, sites_of(sites)


def sites_of(sites: Any) -> np.ndarray:
    """Return sites as an object array of text, or refuse a missing one."""
    names = names_of(sites)
    bad = [row for row, name in enumerate(names) if name is None]
    if bad:
        raise InputError(
            f"{len(bad)} of {len(names)} rows have no site, first rows {bad[:SHOWN]};"
            " harmonization needs it. Fill the column or leave them out."
        )
    return np.array(names, object)


def usable_sites(
    x: np.ndarray, sites: np.ndarray, unseen: str
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the sites that can be learned from, and those too small, with sizes.

    A site needs two training rows that differ; a bootstrap may draw one person
    twice.

    Raises
    ------
    InputError
        A site is too small under 'refuse', or fewer than two sites are left.
    """
    sizes = dict(sorted(Counter(sites).items()))
    may_be_alike = not _differ(x)  # no feature varies at all: none will be changed
    small = {
        site: size
        for site, size in sizes.items()
        if size < 2 or not (may_be_alike or _differ(x[sites == site]))
    }
    if small and unseen == "refuse":
        site, size = next(iter(small.items()))
        raise InputError(
            f"site {site!r} has {size} training row(s)"
            f"{', all the same' if size > 1 else ''}; the spread of a site needs two"
            " different ones. Leave the site out with --include, use fewer folds, or"
            " treat it as unseen with --harmonize-unseen identity or batch."
        )
    large = {site: size for site, size in sizes.items() if site not in small}
    if len(large) < 2:
        raise InputError(
            f"{len(large)} site(s) of two or more different training rows:"
            f" {', '.join(large) or 'none'}; harmonization compares at least two. Use"
            " --harmonize none."
        )
    return large, small


def _differ(rows: np.ndarray) -> bool:
    return bool((rows[1:] != rows[0]).any())


def check_features(x: np.ndarray, n_features: int) -> None:
    """Refuse rows of another number of features than was learned."""
    if x.shape[1] != n_features:
        raise InputError(
            f"{x.shape[1]} features; harmonization learned {n_features}. Use the atlas"
            " and the features that it was trained with."
        )


def check_batch(rows: np.ndarray, site: str) -> None:
    """Refuse an unseen site with too few rows to estimate its spread."""
    if not _differ(rows):
        raise InputError(
            f"site {site!r} was not learned and has {len(rows)} row(s) here; its"
            " location and scale (--harmonize-unseen batch) take two different rows or"
            " more. Use --harmonize-unseen identity or give more people of that site."
        )


def check_independent(onehot: np.ndarray, coded: np.ndarray, names: list[str]) -> None:
    """Refuse covariates that sites or other covariates explain.

    Parameters
    ----------
    onehot : float array of shape (n_rows, n_sites)
    coded : float array of shape (n_rows, n_coded)
    names : list of str
        The covariate behind each coded column.
    """
    n_rows, n_sites = onehot.shape
    if n_rows <= n_sites + coded.shape[1]:
        raise InputError(
            f"{n_rows} training rows for {n_sites} sites and {coded.shape[1]} columns"
            " of covariates; there must be more rows than both together. Use fewer"
            " covariates."
        )
    total = np.linalg.norm(coded, axis=0)
    joined = np.linalg.qr(np.hstack([onehot, coded]), mode="r")
    left = np.abs(np.diag(joined))[n_sites:]
    tied = np.flatnonzero(left <= COLLINEAR * total)
    if not tied.size:
        return
    at = int(tied[0])
    own = np.hstack([onehot, coded[:, [at]]])
    alone = np.abs(np.diag(np.linalg.qr(own, mode="r")))[-1]
    by_site = alone <= COLLINEAR * total[at]
    others = [] if by_site else list(dict.fromkeys(names[:at]))
    others = [name for name in others if name != names[at]]
    found = " and ".join(["the site", *others])
    raise InputError(
        f"covariate {names[at]!r} is collinear: in the training rows it follows from"
        f" {found}, so that their effects cannot be told apart. Leave it out of"
        " --covariates."
    )


def varying(x: np.ndarray, design: np.ndarray) -> np.ndarray:
    """Return which features vary beyond what the design explains.

    Parameters
    ----------
    x : float array of shape (n_rows, n_features)
    design : float array of shape (n_rows, n_columns)
        Of full rank, with a constant in its span.

    Returns
    -------
    varying : bool array of shape (n_features,)
        False for a constant, and for a feature whose residual is within
        rounding: neither has a spread to be harmonized.
    """
    q = np.linalg.qr(design)[0]
    found = np.empty(x.shape[1], bool)
    step = ROUNDING * np.finfo(x.dtype).eps
    for start in range(0, x.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        block = x[:, part].astype(np.float64)
        largest = np.abs(block).max(axis=0)
        block -= block.mean(axis=0)
        total = np.linalg.norm(block, axis=0)
        rest = np.linalg.norm(block - q @ (q.T @ block), axis=0)
        is_constant = total <= step * largest * np.sqrt(len(x))
        found[part] = ~is_constant & (rest > FLAT * total)
    return found
