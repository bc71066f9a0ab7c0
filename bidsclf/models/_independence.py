"""How far latents depend on each other, and two groups differ in them: unbiased."""

import torch
from torch import Tensor

FEWEST = 4  # people, below which dependence is not defined
TINY = 1e-16  # for what does not vary


def dependence(one: Tensor, other: Tensor) -> Tensor:
    """Return how much two sets of latents of the same people go together.

    The squared distance correlation without bias: whether people who lie near in one
    lie near in the other. It is 0 in the mean only where nothing of one, straight or
    curved, tells of the other, so that single batches may lie below; it knows neither
    scale nor turn, and axes that hardly vary hardly count.

    Parameters
    ----------
    one, other : tensors of shape (n, d) and (n, e)

    Returns
    -------
    correlation : scalar tensor
        At most 1; 0 for fewer than four people, or where a set does not vary.

    References
    ----------
    Szekely & Rizzo (2014), Annals of Statistics 42(6), 2382-2412,
    doi:10.1214/14-AOS1255, equations 2.2 and 2.6.
    """
    if len(one) < FEWEST:
        return one.new_zeros(())
    first, second = _centred(one), _centred(other)
    within = first.square().sum() * second.square().sum()
    return (first * second).sum() / within.clamp(min=TINY).sqrt()


def discrepancy(one: Tensor, other: Tensor) -> Tensor:
    """Return how much two groups of people differ in where their latents lie.

    The energy distance without bias, as a share of twice the mean distance between the
    groups. Its mean is 0 where both are drawn alike, so that single batches may lie
    below. It is a maximum mean discrepancy whose kernel is the distance; unlike that of
    Gaussian kernels its slope does not vanish where groups lie far apart.

    Parameters
    ----------
    one, other : tensors of shape (n, d) and (m, d)

    Returns
    -------
    discrepancy : scalar tensor
        0 for fewer than two people of a group, or where nobody differs.

    References
    ----------
    Szekely & Rizzo (2013), Journal of Statistical Planning and Inference 143,
    1249-1272, doi:10.1016/j.jspi.2013.03.018; a discrepancy as a term of a contrastive
    autoencoder: Weinberger, Beebe-Wang & Lee (2022), arXiv:2202.10560.
    """
    if min(len(one), len(other)) < 2:
        return one.new_zeros(())
    between = _distances(one, other).mean()
    within = [_distances(each, each).sum() for each in (one, other)]
    n, m = len(one), len(other)
    found = 2 * between - within[0] / (n * (n - 1)) - within[1] / (m * (m - 1))
    return found / (2 * between).clamp(min=TINY)


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """Return the distances between people, (n, m); of one place they are 0."""
    squares = (one[:, None] - other[None]).square().sum(dim=2)
    is_apart = squares > 0
    return torch.where(is_apart, squares.where(is_apart, 1.0).sqrt(), 0.0)


def _centred(latents: Tensor) -> Tensor:
    """Return the U-centred distances between people, (n, n)."""
    n, far = len(latents), _distances(latents, latents)
    row = far.sum(dim=1, keepdim=True)
    far = far - (row + row.T) / (n - 2) + far.sum() / ((n - 1) * (n - 2))
    return far - torch.diag(torch.diagonal(far))
