"""The first layers of a network of volumes, whose maps are the widest: in pieces."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bidsclf.models._blocks import max_pool

AT_ONCE = 32  # volumes whose maps are there at the same time: they fit a cache; ours


class LeanStem(torch.autograd.Function):
    """Convolution, batch norm, ReLU and maxima of training, a few volumes at a time.

    Batch norm with ReLU rises or falls with its input, so that the maxima (of a
    channel that falls: the minima) can be taken first; only they are kept. The
    convolution is done again for the gradient. Its mean and variance are over all
    volumes of the batch: the numbers are those of the plain layers, to rounding.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maxima, and mean and variance of the convolution by channel.

        Parameters
        ----------
        ctx : context of torch
        x : tensor of shape (V, 1, X, Y, Z)
            No gradient is computed for it.
        weight : tensor of shape (C, 1, 3, 3, 3)
        gamma, beta : tensors of shape (C,)
        eps : float
            Added to the variance.
        """
        sign = torch.where(gamma < 0, -1.0, 1.0).to(x.dtype)
        peaks, means, squares, counts = [], [], [], []
        for some in x.split(AT_ONCE):
            maps = _convolved(some, weight)
            var, mean = torch.var_mean(maps, dim=(0, 2, 3, 4), correction=0)
            peaks.append(_peaks(maps, sign))
            means.append(mean.double())
            squares.append(var.double() + mean.double() ** 2)
            counts.append(maps.numel() / len(weight))
        share = torch.tensor(counts, dtype=torch.float64) / sum(counts)
        mean = share @ torch.stack(means)
        var = (share @ torch.stack(squares) - mean**2).clamp(min=0)
        mean, inverse = mean.to(x.dtype), (var + eps).rsqrt().to(x.dtype)
        peak = torch.cat(peaks)
        ctx.save_for_backward(x, weight, gamma, beta, peak, mean, inverse)
        ctx.n = sum(counts)
        unbiased = (var * ctx.n / max(ctx.n - 1, 1)).to(x.dtype)
        ctx.mark_non_differentiable(mean, unbiased)
        scale = gamma * inverse
        out = torch.addcmul(_wide(beta - scale * mean), peak, _wide(scale))
        return out.relu_(), mean, unbiased

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Return the gradients of weight, gamma and beta."""
        x, weight, gamma, beta, peak, mean, inverse = ctx.saved_tensors
        scale = gamma * inverse
        out = torch.addcmul(_wide(beta - scale * mean), peak, _wide(scale))
        gradient = gradients[0] * (out > 0)
        by_beta = gradient.sum(dim=(0, 2, 3, 4))
        of_peak = (gradient * peak).sum(dim=(0, 2, 3, 4))
        by_gamma = (of_peak - mean * by_beta) * inverse
        # of maps: scale (gradient, where a peak is, - (by_beta + unit by_gamma) / n)
        slope = scale * inverse * by_gamma / ctx.n
        level = scale * by_beta / ctx.n - slope * mean
        sign = torch.where(gamma < 0, -1.0, 1.0).to(x.dtype)
        by_weight = torch.zeros_like(weight)
        for some, given in zip(x.split(AT_ONCE), gradient.split(AT_ONCE), strict=True):
            maps = _convolved(some, weight).requires_grad_()
            with torch.enable_grad():
                again = _peaks(maps, sign)
            (change,) = torch.autograd.grad(again, maps, given * _wide(scale))
            with torch.no_grad():
                change -= _wide(level)
                change.addcmul_(maps, _wide(slope), value=-1)
            by_weight += _of_weight(change, some, weight)
        return None, by_weight, by_gamma, by_beta, None


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv3d(x, weight, stride=2, padding=1)


def _of_weight(change: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient of the weight where that of the maps is ``change``."""
    twos, ones, zeros, which = [2] * 3, [1] * 3, [0] * 3, [False, True, False]
    backward: Any = torch.ops.aten.convolution_backward
    found: Tensor = backward(
        change, x, weight, None, twos, ones, ones, False, zeros, 1, which
    )[1]
    return found


def _peaks(maps: Tensor, sign: Tensor) -> Tensor:
    """Return the maxima of channels of sign 1, the minima of those of sign -1."""
    if bool((sign > 0).all()):
        return max_pool(maps)
    return max_pool(maps * _wide(sign)) * _wide(sign)


def _wide(channels: Tensor) -> Tensor:
    return channels.view(1, -1, 1, 1, 1)
