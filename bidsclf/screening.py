"""How well the site can be told from the features, before and after harmonization."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.svm import SVC

from bidsclf.errors import InputError
from bidsclf.evaluate.calibration import wilson
from bidsclf.evaluate.qcfc import qcfc
from bidsclf.harmonize import Harmonizer

N_FOLDS = 5
FEWEST = 5  # people of a site: one to test a fold
COST = 1.0  # over the mean squared norm; guesses fall to the largest site then; ours
Tables = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class _Study:
    """One row a person, by participant_id, of sites that can be screened."""

    x: np.ndarray
    people: pd.DataFrame  # participant_id, perhaps mean_fd
    sites: np.ndarray
    covariates: pd.DataFrame
    groups: np.ndarray

    def take(self, keep: np.ndarray) -> "_Study":
        return _Study(
            self.x[keep],
            self.people.iloc[keep].reset_index(drop=True),
            self.sites[keep],
            self.covariates.iloc[keep].reset_index(drop=True),
            self.groups[keep],
        )


def screen(
    x: np.ndarray,
    rows: np.ndarray,
    traits: pd.DataFrame,
    *,
    people: pd.DataFrame,
    make_harmonizer: Callable[[], Harmonizer] | None,
    seed: int,
) -> tuple[Tables, list[str]]:
    """Ask a linear SVM for the site, draw maps, and correlate edges with motion.

    Five folds of its own, stratified by site; in each, harmonizer and classifier
    learn from the other four. The maps and QC-FC after harmonization are made of
    the rows that were held out. A person's rows are averaged first (ours), which
    differs from the fits where runs are kept apart.

    Parameters
    ----------
    x : float array of shape (n_rows, n_features)
    rows : int array of shape (n_rows,)
        Position in ``traits`` of the person of each row.
    traits : DataFrame (n_people, ...)
        'site', perhaps 'group' (families stay in one fold), and covariates.
    people : DataFrame (n_people, ...)
        participant_id, and mean_fd (mm, may be missing) for QC-FC.
    make_harmonizer : callable or None
        Gives an unfitted harmonizer; None screens the features as they are.
    seed : int
        Of the folds.

    Returns
    -------
    tables : dict of DataFrame
        'sites': stage ('before' or 'after'), accuracy, low, high (95 %, Wilson),
        balanced_accuracy, chance (share of the largest site), n, n_sites,
        p_change (McNemar, exact, in the row 'after'). Less than chance is no
        success: sites made alike in training may differ the other way round in
        people held out.
        'site_map': stage, participant_id, site, pc1, pc2 (principal components).
        'qcfc': stage, n_edges, median_abs_r, share_p05, share_fdr05: see
        `qcfc`; no row where motion is unknown or does not vary.
    notes : list of str
        Sites left out because fewer than five people or families are there.

    Raises
    ------
    InputError
        The tables differ in length, a feature is not finite, fewer than two
        sites are left, or the harmonizer refuses.
    """
    _check(x, rows, traits, people)
    study, notes = _without_small_sites(_by_person(x, rows, traits, people))
    folds = _folds(study, seed)
    stages = {"before": _held_out(study, folds, None)}
    if make_harmonizer is not None:
        stages["after"] = _held_out(study, folds, make_harmonizer)
    tables = {
        "sites": _sites_table(study, {k: called for k, (_, called) in stages.items()}),
        "site_map": _stacked({k: _map(study, kept) for k, (kept, _) in stages.items()}),
        "qcfc": _qcfc_table(study, {k: kept for k, (kept, _) in stages.items()}),
    }
    return tables, notes


def _check(
    x: np.ndarray, rows: np.ndarray, traits: pd.DataFrame, people: pd.DataFrame
) -> None:
    named = len(traits) == len(people) and len(x) == len(rows)
    if not named or set(rows) != set(range(len(people))):
        raise InputError(
            f"{len(x)} rows of {len(set(rows))} people, {len(traits)} rows of traits"
            f" and {len(people)} people; everyone needs a row in each."
        )
    if not np.isfinite(x).all():
        bad = people["participant_id"].iloc[np.unique(rows[~np.isfinite(x).all(1)])]
        raise InputError(
            f"features of {len(bad)} people are not finite: {', '.join(bad[:5])}."
            " Extract them again, or leave them out with --include."
        )


def _by_person(
    x: np.ndarray, rows: np.ndarray, traits: pd.DataFrame, people: pd.DataFrame
) -> _Study:
    """Average a person's rows and sort by participant_id."""
    by_row = np.argsort(rows, kind="stable")
    n_rows = np.bincount(rows)
    starts = np.cumsum(n_rows) - n_rows
    sums = np.add.reduceat(x[by_row], starts, axis=0)
    groups = traits.get("group", pd.Series(np.arange(len(traits))))
    study = _Study(
        x=sums / n_rows[:, None].astype(sums.dtype),
        people=people,
        sites=traits["site"].astype(str).to_numpy(object),
        covariates=traits.drop(columns=["site", "group"], errors="ignore"),
        groups=groups.to_numpy(),
    )
    return study.take(np.argsort(people["participant_id"].to_numpy(), kind="stable"))


def _without_small_sites(study: _Study) -> tuple[_Study, list[str]]:
    units = pd.Series(study.groups).groupby(study.sites).nunique()
    small = units[units < FEWEST]
    notes = []
    if len(small):
        named = ", ".join(f"{site} ({n})" for site, n in small.items())
        notes = [
            f"{len(small)} of {len(units)} sites have fewer than {FEWEST} people or"
            f" families and are left out of the screening: {named}."
        ]
    if len(units) - len(small) < 2:
        raise InputError(
            f"{len(units) - len(small)} of {len(units)} sites have {FEWEST} people or"
            " more; to tell sites apart needs two. There is nothing to screen."
        )
    return study.take(~np.isin(study.sites, small.index)), notes


def _folds(study: _Study, seed: int) -> np.ndarray:
    """Return the fold of each person, dealt out site by site, families whole."""
    rng = np.random.default_rng(seed)
    units = pd.DataFrame({"group": study.groups, "site": study.sites})
    units = units.drop_duplicates("group")  # a family is dealt with its first site
    queue = [rng.permutation(part["group"]) for _, part in units.groupby("site")]
    order = np.concatenate(queue)
    fold_of = pd.Series(np.arange(len(order)) % N_FOLDS, order)
    return fold_of[study.groups].to_numpy()


def _held_out(
    study: _Study, folds: np.ndarray, make: Callable[[], Harmonizer] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (n_people, n_features) and guessed sites (n_people,), held out."""
    kept = study.x.copy()
    called = np.empty(len(study.sites), object)
    gram = _gram(study.x)
    for fold in range(N_FOLDS):
        test = folds == fold
        if make is not None:
            changed = _harmonized(study, ~test, make)
            kept[test], gram = changed[test], _gram(changed)
        called[test] = _guessed(gram, study.sites, test)
    return kept, called


def _harmonized(
    study: _Study, learn: np.ndarray, make: Callable[[], Harmonizer]
) -> np.ndarray:
    """Return everyone's rows as a harmonizer of the training people makes them."""
    train = study.take(learn)
    fitted = make().fit(train.x, train.sites, train.covariates)
    changed = np.empty_like(study.x)
    for part in (learn, ~learn):
        mine = study.take(part)
        changed[part] = fitted.apply(mine.x, mine.sites, mine.covariates)
    return changed


def _gram(x: np.ndarray) -> np.ndarray:
    """Return inner products; an SVM with an intercept does not see the centring."""
    centred = x - x.mean(axis=0)
    return (centred @ centred.T).astype(np.float64)


def _guessed(gram: np.ndarray, sites: np.ndarray, test: np.ndarray) -> np.ndarray:
    learn = np.flatnonzero(~test)
    scale = gram[learn, learn].mean()
    if scale == 0:  # rows do not differ at all
        return np.full(test.sum(), pd.Series(sites[learn]).mode()[0], object)
    model = SVC(kernel="precomputed", C=COST)
    model.fit(gram[np.ix_(learn, learn)] / scale, sites[learn].astype(str))
    guessed = model.predict(gram[np.ix_(test, ~test)] / scale)
    return guessed.astype(object)


def _sites_table(study: _Study, called: dict[str, np.ndarray]) -> pd.DataFrame:
    n = len(study.sites)
    counts = pd.Series(study.sites).value_counts()
    is_right = {stage: guessed == study.sites for stage, guessed in called.items()}
    found = []
    for stage, right in is_right.items():
        low, high = wilson(right.sum(), np.array(n))
        found.append(
            {
                "stage": stage,
                "accuracy": right.mean(),
                "low": float(low),
                "high": float(high),
                "balanced_accuracy": pd.Series(right)
                .groupby(study.sites)
                .mean()
                .mean(),
                "chance": counts.max() / n,
                "n": n,
                "n_sites": len(counts),
                "p_change": _changed(is_right["before"], right),
            }
        )
    found[0]["p_change"] = np.nan
    return pd.DataFrame(found)


def _changed(before: np.ndarray, after: np.ndarray) -> float:
    """Return the exact p of McNemar's test that as many are right as before."""
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    if gained + lost == 0:
        return 1.0
    return float(binomtest(gained, gained + lost).pvalue)


def _map(study: _Study, x: np.ndarray) -> pd.DataFrame:
    """Return the first two principal components of everyone's rows."""
    values, vectors = np.linalg.eigh(_gram(x))
    scores = vectors[:, [-1, -2]] * np.sqrt(np.maximum(values[[-1, -2]], 0))
    largest = np.abs(scores).argmax(axis=0)
    scores *= np.where(scores[largest, [0, 1]] < 0, -1, 1)  # one sign on any machine
    return pd.DataFrame(
        {
            "participant_id": study.people["participant_id"],
            "site": study.sites,
            "pc1": scores[:, 0],
            "pc2": scores[:, 1],
        }
    )


def _stacked(stages: dict[str, pd.DataFrame]) -> pd.DataFrame:
    parts = []
    for stage, table in stages.items():
        table.insert(0, "stage", stage)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _qcfc_table(study: _Study, kept: dict[str, np.ndarray]) -> pd.DataFrame:
    names = ["n_edges", "median_abs_r", "share_p05", "share_fdr05"]
    empty = pd.DataFrame(columns=["stage", *names])
    if "mean_fd" not in study.people:
        return empty
    motion = pd.to_numeric(study.people["mean_fd"], errors="coerce").to_numpy(float)
    has = np.isfinite(motion)
    if has.sum() < FEWEST or np.ptp(motion[has]) == 0:
        return empty
    return pd.DataFrame(
        {"stage": stage, **qcfc(x[has], motion[has])} for stage, x in kept.items()
    )
