"""What a model looks at: gradients for networks, patterns for linear models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bidsclf.errors import InputError

N_STEPS = 32  # of the path; twice as many change a share by less than 1 % (tests)
PER_PERSON = 6  # windows of a person, evenly spaced; ours
AT_ONCE = 64  # samples a step of the path


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """What one fitted model makes of each region.

    Attributes
    ----------
    signed : float64 array of shape (R,)
        Mean share of a region in the log odds of class 1.
    absolute : float64 array of shape (R,)
        The same of magnitudes, as shares of all regions: they sum to 1.
    time : float64 array of shape (T,) or None
        Magnitude by volume of the window, as shares that sum to 1; None where a
        row is not cut into windows: volumes of whole scans have no common place.
    """

    signed: np.ndarray
    absolute: np.ndarray
    time: np.ndarray | None = None


def integrated_gradients(
    network: Any, batch: tuple[Any, ...], *, n_steps: int = N_STEPS
) -> Tensor:
    """Return how much each cell of the input adds to the log odds of class 1.

    The path leads from zero, which is every region's mean, to the input, or from
    the ``baseline`` that the network names; the integral is taken at midpoints.

    Parameters
    ----------
    network : nn.Module
        ``network(batch)`` gives logits of shape (B, 2).
    batch : tuple
        Its first tensor is the input; samples do not see each other.
    n_steps : int

    Returns
    -------
    attributions : float32 tensor, of the shape of the input
        Their sum over a sample tends to its log odds less those of the start.

    References
    ----------
    Sundararajan, Taly & Yan (2017), ICML, PMLR 70, 3319-3328, equation 3.
    """
    start, total = getattr(network, "baseline", 0.0), torch.zeros_like(batch[0])
    way = batch[0] - start
    for step in range(n_steps):
        part = (start + way * ((step + 0.5) / n_steps)).requires_grad_()
        logits = network((part, *batch[1:]))
        odds = (logits[:, 1] - logits[:, 0]).sum()
        total += torch.autograd.grad(odds, part)[0]
    return way * total / n_steps


def attribute(model: Any, x: Any, *, n_regions: int) -> Attribution:
    """Return what a network makes of each region, mean over rows.

    Parameters
    ----------
    model : TorchClassifier
        Fitted.
    x : rows that it takes
        Of people it has not learned from, for an honest answer.
    n_regions : int

    Raises
    ------
    InputError
        There is no row, or the network's input has neither regions nor edges.
    """
    samples = model.samples(x)
    which = spaced(samples.person, PER_PERSON)
    length = getattr(samples, "length", None)
    if not len(which):
        raise InputError("no row to attribute a score on; give one or more.")
    signed, absolute, time = map(np.zeros, (n_regions, n_regions, length or 0))
    # cuDNN's LSTM has a gradient in training mode alone, where dropout draws
    with torch.backends.cudnn.flags(enabled=False):
        for start in range(0, len(which), AT_ONCE):
            batch = samples.batch(which[start : start + AT_ONCE])
            batch = tuple(
                part.to(model.device) if isinstance(part, Tensor) else part
                for part in batch
            )
            found = integrated_gradients(model.network, batch).double().cpu().numpy()
            signed += _by_region(found, n_regions)
            absolute += _by_region(np.abs(found), n_regions)
            if length is not None:
                time += np.abs(found).sum(axis=(0, 2))
    shares = None if length is None else time / max(time.sum(), 1e-300)
    return Attribution(
        signed / len(which), absolute / max(absolute.sum(), 1e-300), shares
    )


def spaced(person: np.ndarray, most: int) -> np.ndarray:
    """Return up to ``most`` samples of each person, evenly spaced.

    Parameters
    ----------
    person : int array of shape (n_samples,), ascending

    Examples
    --------
    >>> spaced(np.array([0, 0, 0, 0, 0, 1]), 2)
    array([0, 4, 5])
    """
    _, first, counts = np.unique(person, return_index=True, return_counts=True)
    places = [
        start + np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))
        for start, n in zip(first, counts, strict=True)
    ]
    return np.concatenate(places) if places else np.empty(0, int)


def haufe_pattern(features: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """Return the activation pattern of a linear model.

    A weight says how a model reads a feature, noise it cancels included; the
    pattern says how the feature goes with what the model reads.

    Parameters
    ----------
    features : float array of shape (n, p)
        Training rows as the model saw them.
    decisions : float array of shape (n,)
        Its decision values of these rows.

    Returns
    -------
    pattern : float64 array of shape (p,)
        Covariance of each feature with the decisions over their variance: in
        units of the feature, a unit of decision. Zero where they do not vary.

    References
    ----------
    Haufe et al. (2014), NeuroImage 87, 96-110, equation 6,
    doi:10.1016/j.neuroimage.2013.10.067.
    """
    centred = np.asarray(decisions, float) - np.mean(decisions)
    variance = centred @ centred
    if not variance > 0:
        return np.zeros(features.shape[1])
    # decisions are centred, so the features need not be
    pattern: np.ndarray = centred @ np.asarray(features, float) / variance
    return pattern


def pattern_attribution(pattern: np.ndarray, n_regions: int) -> Attribution:
    """Return a pattern over edges as one over regions; an edge is of both its ends."""
    absolute = _by_region(np.abs(pattern)[None], n_regions)
    return Attribution(
        _by_region(pattern[None], n_regions), absolute / max(absolute.sum(), 1e-300)
    )


def attribution_table(
    found: Sequence[Attribution], regions: Sequence[str], *, model: str, method: str
) -> pd.DataFrame:
    """Return rows of attributions.tsv: the mean over folds, and its SD.

    Columns: model, method, region, signed, absolute, sd (of absolute; NaN for one
    fold), n_folds.
    """
    absolute = np.stack([one.absolute for one in found])
    return pd.DataFrame(
        {
            "model": model,
            "method": method,
            "region": list(regions),
            "signed": np.mean([one.signed for one in found], axis=0),
            "absolute": absolute.mean(axis=0),
            "sd": _sd(absolute),
            "n_folds": len(found),
        }
    )


def time_table(found: Sequence[Attribution], *, model: str) -> pd.DataFrame:
    """Return rows of attribution_time.tsv: model, volume (from 1), absolute, sd.

    Empty where rows are not cut into windows.
    """
    times = [one.time for one in found if one.time is not None]
    shares = np.stack(times) if times else np.empty((0, 0))
    return pd.DataFrame(
        {
            "model": model,
            "volume": np.arange(1, shares.shape[1] + 1),
            "absolute": shares.mean(axis=0) if times else np.empty(0),
            "sd": _sd(shares),
        }
    )


def pattern_table(
    patterns: Sequence[np.ndarray], regions: Sequence[str], *, model: str
) -> pd.DataFrame:
    """Return rows of patterns.tsv: model, region_a, region_b, pattern, sd over folds.

    Parameters
    ----------
    patterns : sequence of float arrays of shape (R * (R - 1) / 2,)
        One a fold, in the order of ``np.triu_indices(R, k=1)``.
    """
    first, second = np.triu_indices(len(regions), k=1)
    names, stacked = np.asarray(regions, object), np.stack(patterns)
    return pd.DataFrame(
        {
            "model": model,
            "region_a": names[first],
            "region_b": names[second],
            "pattern": stacked.mean(axis=0),
            "sd": _sd(stacked),
        }
    )


def _sd(values: np.ndarray) -> np.ndarray:
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan)
    sd: np.ndarray = values.std(axis=0, ddof=1)
    return sd


def _by_region(values: np.ndarray, n_regions: int) -> np.ndarray:
    """Return the sums of each region over all other axes; half an edge to each end."""
    flat = values.reshape(-1, values.shape[-1]).sum(axis=0)
    if len(flat) == n_regions:
        return flat
    first, second = np.triu_indices(n_regions, k=1)
    if len(flat) != len(first):
        raise InputError(
            f"the model's input has {len(flat)} columns; {n_regions} regions or their"
            f" {len(first)} edges are expected. It cannot be shown by region."
        )
    ends = [np.bincount(side, flat, n_regions) for side in (first, second)]
    half: np.ndarray = (ends[0] + ends[1]) / 2
    return half
