"""How far scores can be read as probabilities: temperature, reliability, intervals."""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from bidsclf.errors import InputError
from bidsclf.evaluate._predictions import check, pool

N_BINS = 10  # of equal width over [0, 1], as in the calibration error of metrics.tsv
FAINT = 0.01  # the typical logit after scaling is never smaller; ours
COLUMNS = (
    "model",
    "stage",
    "bin_low",
    "bin_high",
    "n",
    "mean_score",
    "share_positive",
    "low",
    "high",
)


def temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the number that logits are divided by to be calibrated.

    Parameters
    ----------
    logits : float array of shape (n,)
        Log odds of class 1, of rows that were held out from the fit.
    truth : int array of shape (n,)
        0 or 1.

    Returns
    -------
    temperature : float
        Positive, finite. The minimiser of the mean log loss, which is convex
        in 1 / temperature. 1 where a class is absent or all logits are 0.

    Raises
    ------
    InputError
        The arrays differ in length or a logit is not finite.

    References
    ----------
    Guo et al. (2017), ICML, PMLR 70, 1321-1330, section 4.2. Departure: the
    minimum is sought within bounds that grow with the logits. The typical
    (median) score ends no nearer to 0 or 1 than 1 / (n + 2), Laplace's rule, so
    that separable rows do not become certain; its logit ends no smaller than
    0.01, so that useless or inverted scores keep their order and their side.

    Examples
    --------
    >>> logits = np.array([-4.0, -4.0, -4.0, 4.0, 4.0, 4.0, 4.0, -4.0])
    >>> truth = np.array([0, 0, 0, 1, 1, 1, 0, 1])
    >>> round(temperature(logits, truth), 3)  # 3 of 4 are right: 4 / log(3)
    3.641
    """
    logits, truth = np.asarray(logits, float), np.asarray(truth)
    if logits.shape != truth.shape or logits.ndim != 1:
        raise InputError(
            f"logits have the shape {logits.shape}, truth {truth.shape};"
            " a temperature needs one of each a person. Fit the model again."
        )
    if not np.isfinite(logits).all():
        raise InputError(
            f"{(~np.isfinite(logits)).sum()} of {len(logits)} held-out logits are not"
            " finite; a temperature needs finite ones. Fit the model again."
        )
    is_positive = truth == 1
    typical = _typical(logits)
    if typical == 0 or is_positive.all() or not is_positive.any():
        return 1.0
    unit = logits / typical
    n = len(unit)

    def slope(sharpness: float) -> float:
        return float(np.mean(unit * (expit(sharpness * unit) - is_positive)))

    faintest, sharpest = FAINT, float(logit((n + 1) / (n + 2)))
    if slope(faintest) >= 0:
        best = faintest
    elif slope(sharpest) <= 0:
        best = sharpest
    else:
        best = float(brentq(slope, faintest, sharpest))
    return float(typical / best)


def _typical(logits: np.ndarray) -> float:
    """Return the median size of the logits that are not 0; 0 if all are."""
    sizes = np.abs(logits[logits != 0])
    return float(np.median(sizes)) if len(sizes) else 0.0


def scaled(score: np.ndarray, t: float) -> np.ndarray:
    """Return scores whose log odds are divided by a temperature.

    Parameters
    ----------
    score : float array of shape (n,)
        In [0, 1]; 0, 0.5 and 1 stay what they are, and so does the order.
    t : float
        From `temperature`.

    Raises
    ------
    InputError
        The temperature is not positive and finite.

    Examples
    --------
    >>> scaled(np.array([0.0, 0.5, 0.9, 1.0]), 2.0)
    array([0.  , 0.5 , 0.75, 1.  ])
    """
    if not 0 < t < np.inf:
        raise InputError(
            f"the temperature is {t}; it is positive and finite. Fit the model again."
        )
    return expit(logit(np.asarray(score, float)) / t)


def wilson(n_positive: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of a share, within [0, 1] even for few people.

    Parameters
    ----------
    n_positive, n : int arrays of one shape, ``n >= 1``

    References
    ----------
    Wilson (1927), JASA 22(158), 209-212, doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> low, high = wilson(np.array(0), np.array(10))
    >>> round(float(low), 3), round(float(high), 3)
    (0.0, 0.278)
    """
    z = norm.ppf(0.975)
    share = np.asarray(n_positive) / n
    middle = share + z**2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    whole = 1 + z**2 / n
    return np.maximum((middle - half) / whole, 0), np.minimum(
        (middle + half) / whole, 1
    )


def reliability_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return calibration.tsv: the share of class 1 among people of similar scores.

    Parameters
    ----------
    predictions : DataFrame
        Rows of predictions.tsv. A person's value is the mean over repeats.

    Returns
    -------
    reliability : DataFrame
        model, stage, bin_low, bin_high, n (people), mean_score, share_positive,
        low, high (95 %, Wilson). The stage 'before' is ``score``, 'after' is
        ``probability``, where the table has it; mean_score is that of the stage.
        An empty bin has no row; a value of 1 is in the last.

    Raises
    ------
    InputError
        The table is not one of predictions.
    """
    check(predictions)
    stages = {"before": "score"}
    if "probability" in predictions:
        stages["after"] = "probability"
    pooled = pool(predictions)
    parts = [
        _bins(rows[name].to_numpy(), rows["truth"].to_numpy(int)).assign(
            model=model, stage=stage
        )
        for stage, name in stages.items()
        for model, rows in pooled.groupby("model", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _bins(share: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    at = np.minimum((share * N_BINS).astype(int), N_BINS - 1)
    found = pd.DataFrame({"share": share, "truth": truth}).groupby(at)
    n, n_positive = found.size(), found["truth"].sum()
    low, high = wilson(n_positive.to_numpy(), n.to_numpy())
    return pd.DataFrame(
        {
            "bin_low": n.index / N_BINS,
            "bin_high": (n.index + 1) / N_BINS,
            "n": n.to_numpy(),
            "mean_score": found["share"].mean().to_numpy(),
            "share_positive": (n_positive / n).to_numpy(),
            "low": low,
            "high": high,
        }
    )
