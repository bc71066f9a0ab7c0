"""Series of several repetition times brought to one, each run for itself."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import resample_poly

from bidsclf.errors import InputError
from bidsclf.files import store

DRIFT = 0.01  # of a volume, over a whole run: how far the clock may be off; ours
FEWEST = (3, 10)  # volumes of a run before, which the filter needs, and after; ours
TIMES_S = (0.05, 30.0)  # repetition times that a sidecar may say; ours
ROUND = (1, 10, 100, 1000, 10_000, 100_000)  # denominators tried, the smallest first


def repetition_time(table: Path) -> float | None:
    """Return the seconds between two volumes of a series, None where it is not said.

    Parameters
    ----------
    table : Path
        A timeseries.tsv; its JSON file has SamplingFrequency, in Hz.
    """
    said = _sidecar(table).get("SamplingFrequency")
    if isinstance(said, bool) or not isinstance(said, int | float):
        return None
    return 1 / said if 0 < said < np.inf else None


def counted(times: Sequence[float | None]) -> dict[float, int]:
    """Return how many scans have each repetition time, to the millisecond.

    Examples
    --------
    >>> counted([2.0, 1.9999999, 0.72, None])
    {0.72: 1, 2.0: 2}
    """
    known = (round(time, 3) for time in times if time is not None)
    return dict(sorted(Counter(known).items()))


def at_one_rate(values: np.ndarray, table: Path, to_s: float) -> np.ndarray:
    """Return a run at another repetition time.

    Parameters
    ----------
    values : float32 array of shape (n_volumes, n_regions)
        What ``table`` holds.
    table : Path
        Its JSON file says the repetition time, and which volumes were censored.
    to_s : float

    Raises
    ------
    InputError
        The repetition time is not said or none of a scanner, the volumes are not
        those counted, or there are fewer than 3 before or 10 after.
    """
    tr_s, said = repetition_time(table), _sidecar(table)
    if tr_s is None:
        raise InputError(
            f"{table.with_suffix('.json')}: no SamplingFrequency, in Hz, which"
            " --resample-tr needs. Add it, or leave the person or the option out."
        )
    if not TIMES_S[0] <= tr_s <= TIMES_S[1]:
        raise InputError(
            f"{table.with_suffix('.json')}: SamplingFrequency {1 / tr_s:g} Hz is a"
            f" repetition time of {tr_s:g} s; --resample-tr expects {TIMES_S[0]:g} to"
            f" {TIMES_S[1]:g} s. Mend it, or leave the person or the option out."
        )
    _check_length(table, len(values), FEWEST[0], "")
    made = resampled(values, tr_s, to_s, kept=_kept(values, table, said))
    _check_length(table, len(made), FEWEST[1], f" at {to_s:g} s a volume")
    return made


def count_volumes(table: Path, to_s: float | None = None) -> int:
    """Return how many volumes a run has, at another repetition time if one is given.

    The lines are counted and no number is read.

    Raises
    ------
    InputError
        The table cannot be read, or as ``at_one_rate``.
    """
    try:
        lines = table.read_bytes().splitlines()
    except OSError as error:
        raise InputError(
            f"{table}: not readable ({error}). Run the participant level again for"
            " this person."
        ) from error
    nothing = np.empty((max(len(lines) - 1, 0), 0), np.float32)
    return len(nothing if to_s is None else at_one_rate(nothing, table, to_s))


def _kept(values: np.ndarray, table: Path, said: dict[str, Any]) -> np.ndarray | None:
    """Return which volumes of the scanner these are; None for all of them."""
    censored, total = said.get("CensoredVolumes"), said.get("NumberOfVolumes")
    if not censored or total is None:
        return None
    kept: np.ndarray = np.setdiff1d(np.arange(total), censored)
    if len(kept) != len(values):
        raise InputError(
            f"{table}: {len(values)} volumes; its JSON file says {total} of which"
            f" {len(set(censored))} are censored. Run the participant level again for"
            " this person."
        )
    return kept


def _check_length(table: Path, found: int, fewest: int, where: str) -> None:
    if found < fewest:
        raise InputError(
            f"{table}: {found} volumes{where}; --resample-tr needs {fewest} or more."
            " Leave the person out with --include or the run with --run-id, or leave"
            " out --resample-tr."
        )


def resampled(
    values: np.ndarray, tr_s: float, to_s: float, *, kept: np.ndarray | None = None
) -> np.ndarray:
    """Return a series at another repetition time; frequencies it cannot hold go.

    Polyphase filtering without delay (Kaiser window, beta 5, the series turned
    about its ends), so that volume j is the signal ``j * to_s`` seconds after the
    first volume, and none lies beyond the last. But for ten volumes of the slower
    rate at each end, a sinusoid up to 0.6 of the lower Nyquist frequency keeps
    amplitude and phase within 1 %; at Nyquist it has half its amplitude; from 1.2
    Nyquist on less than 1 % is left.

    ``tr_s / to_s`` is taken as the simplest fraction whose clock is off by less than
    0.01 of a volume at the end of the run; where that is 1, the same array comes
    back.

    Parameters
    ----------
    values : float array of shape (n_volumes, n_columns)
        A column with a NaN is NaN.
    tr_s, to_s : float
        Seconds between two volumes, before and after.
    kept : int array of shape (n_volumes,) or None
        Number of each volume on the scanner's clock, where some are censored. They
        are bridged by cubic splines before, and what lies in a gap is left out after.

    Returns
    -------
    resampled : array of shape (n_after, n_columns), dtype of ``values``

    References
    ----------
    scipy.signal.resample_poly; the splines as in ``features.timeseries``.
    """
    clock = np.arange(len(values)) if kept is None else kept - kept[0]
    ratio = simple_ratio(tr_s / to_s, clock[-1] + 1) if len(values) > 1 else Fraction(1)
    if ratio == 1:
        return values
    is_whole = np.isfinite(values).all(axis=0)
    whole = values[:, is_whole].astype(np.float64)
    level = whole.mean(axis=0)
    n_after = int(clock[-1] * ratio) + 1
    made = np.full((n_after, values.shape[1]), np.nan)
    if is_whole.any():
        series = _bridged(whole - level, clock)
        made[:, is_whole] = level + _filtered(series, ratio, n_after)
    nearest = np.rint(np.arange(n_after) / float(ratio)).astype(int)
    return made[np.isin(nearest, clock)].astype(values.dtype)


def simple_ratio(ratio: float, n_volumes: int) -> Fraction:
    """Return a fraction near a ratio, whose error over a run is below ``DRIFT``.

    Examples
    --------
    >>> simple_ratio(0.72 / 2, 1200), simple_ratio(2.0000001 / 2, 300)
    (Fraction(9, 25), Fraction(1, 1))
    """
    near = (Fraction(ratio).limit_denominator(most) for most in ROUND)
    exact = Fraction(ratio).limit_denominator(max(ROUND[-1], 200 * int(n_volumes)))
    return next((f for f in near if abs(f - ratio) * n_volumes < DRIFT), exact)


def _bridged(values: np.ndarray, clock: np.ndarray) -> np.ndarray:
    """Return a row a volume of the scanner, between the first and the last kept."""
    if len(clock) == clock[-1] + 1:
        return values
    bridged: np.ndarray = CubicSpline(clock, values)(np.arange(clock[-1] + 1))
    bridged[clock] = values
    return bridged


def _filtered(values: np.ndarray, ratio: Fraction, n_after: int) -> np.ndarray:
    up, down = ratio.numerator, ratio.denominator
    filtered: np.ndarray = resample_poly(values, up, down, padtype="antireflect")
    return filtered[:n_after]


def _sidecar(table: Path) -> dict[str, Any]:
    path = table.with_suffix(".json")
    said = store.read_json(path) if path.exists() else {}
    return said if isinstance(said, dict) else {}
