"""Gaussian hidden Markov models of one-dimensional series, many at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bidsclf.models._sequences import Sequences

# The least logarithm of a density over the largest at its volume, and the number of
# volumes between scalings, so that their product stays finite in that type; ours
LEAST_LOG = {torch.float64: -40.0, torch.float32: -20.0}
RESCALE = {torch.float64: 16, torch.float32: 4}
TOGETHER = 16  # volumes whose densities are computed at once, to stay in the cache
LEAST_VARIANCE = 1e-3  # of the region's own: no state shrinks to one value; ours
LEAST_WEIGHT = 1e-10  # volumes of a state below which it stays as it is; ours
TINY = 1e-300  # a variance stays positive
STAY = 0.5  # what the start adds to the chance of staying in a state; ours


@dataclass(frozen=True, slots=True, eq=False)
class Chains:
    """One hidden Markov model a region, all with K states.

    Attributes
    ----------
    start : float64 tensor of shape (R, K)
        Probability of each state at the first volume.
    moves : float64 tensor of shape (R, K, K)
        Probability of state j after state i, ``moves[:, i, j]``.
    means, variances : float64 tensors of shape (R, K)
        Of the signal in each state, in its unit and that squared.
    """

    start: Tensor
    moves: Tensor
    means: Tensor
    variances: Tensor

    def __getitem__(self, regions: Tensor | slice) -> "Chains":
        return Chains(*(getattr(self, name)[regions] for name in self.__slots__))

    def copy(self) -> "Chains":
        """Return chains that share no memory with these."""
        return Chains(*(getattr(self, name).clone() for name in self.__slots__))

    @classmethod
    def join(cls, parts: Sequence["Chains"]) -> "Chains":
        """Return the models of all regions of some parts, in order."""
        names = cls.__slots__
        return cls(*(torch.cat([getattr(p, name) for p in parts]) for name in names))

    def put(self, regions: Tensor, chains: "Chains") -> None:
        """Write other chains at some regions, in place."""
        for name in self.__slots__:
            getattr(self, name)[regions] = getattr(chains, name)


def begin(sequences: Sequences, n_states: int) -> Chains:
    """Return where EM starts: nothing is drawn, people's order has no part.

    States sit at the quantiles (k + 1/2) / K of a normal distribution with the
    mean and the variance of the region, each with the variance divided by K, all
    as likely at first, and each more likely to stay than to leave.
    """
    count, total, squares = sequences.moments().unbind(dim=1)
    is_known, count = count > 0, count.clamp(min=1)
    mean = total / count
    variance = torch.where(is_known, squares / count - mean**2, 1.0)
    variance = variance.clamp(min=TINY)
    shares = (torch.arange(n_states, dtype=torch.float64) + 0.5) / n_states
    places = math.sqrt(2) * torch.erfinv(2 * shares - 1)
    n_regions, even = len(mean), (1 - STAY) / n_states
    moves = torch.full((n_states, n_states), even, dtype=torch.float64)
    moves += STAY * torch.eye(n_states, dtype=torch.float64)
    return Chains(
        torch.full((n_regions, n_states), 1 / n_states, dtype=torch.float64),
        moves.expand(n_regions, -1, -1).clone(),
        mean[:, None] + variance.sqrt()[:, None] * places,
        (variance / n_states)[:, None].expand(-1, n_states).clone(),
    )


def log_likelihood(chains: Chains, sequences: Sequences) -> Tensor:
    """Return the log-likelihood of every series, float64 of shape (R, P).

    Natural logarithm of a density in the unit of the series. States whose density
    is less than 1e-17 of the largest at a volume (2e-9 in single precision) are
    given that much, so that one wild volume cannot make a series impossible.
    """
    n_states = chains.means.shape[1]
    room = sequences.room(n_states)
    found = [
        _Walk(chains[part], sequences.regions(part), room).forward().double()
        for part in sequences.parts(n_states)
    ]
    return torch.cat(found)


def improve(
    chains: Chains, sequences: Sequences, floor: Tensor, room: Tensor
) -> tuple[Chains, Tensor]:
    """Take one step of EM: no prior, so the likelihood of people does not fall.

    Parameters
    ----------
    chains : Chains
    sequences : Sequences
    floor : float64 tensor of shape (R,)
        The least variance of a state.
    room : tensor
        ``sequences.room(n_states)``, or that of more.

    Returns
    -------
    chains : Chains
        New ones. A state that nobody is in keeps its signal, and one that nobody
        leaves its moves.
    log_likelihood : float64 tensor of shape (R,)
        Of all series that vary, before the step.

    References
    ----------
    Rabiner (1989), Proc. IEEE 77(2), 257-286, doi:10.1109/5.18626, with the scaled
    recursions. hmmlearn's steps are the same at ``covars_prior=0``.
    """
    walk = _Walk(chains, sequences, room)
    each = walk.forward().double()
    first, pairs, sums = (found.double() for found in walk.backward())
    moves = chains.moves * pairs
    leaves = moves.sum(dim=2, keepdim=True)
    weight = sums[:, :, :1]
    is_used = weight[:, :, 0] > LEAST_WEIGHT
    mean, square = (sums[:, :, 1:] / weight.clamp(min=LEAST_WEIGHT)).unbind(dim=2)
    variance = torch.maximum(square - mean**2, floor[:, None])
    began = first.sum(dim=1, keepdim=True)
    learned = Chains(
        torch.where(began > 0, first / began.clamp(min=LEAST_WEIGHT), chains.start),
        torch.where(
            leaves > LEAST_WEIGHT, moves / leaves.clamp(min=LEAST_WEIGHT), chains.moves
        ),
        torch.where(is_used, mean, chains.means),
        torch.where(is_used, variance, chains.variances),
    )
    return learned, (each * sequences.is_alive).sum(dim=1)


def learn(
    chains: Chains, sequences: Sequences, n_iter: int, tol: float
) -> tuple[Chains, Tensor]:
    """Run EM; a region stops when a step gained less than ``tol`` a volume.

    Returns
    -------
    chains : Chains
    n_steps : int tensor of shape (R,)
        Steps taken.
    """
    found, n_steps, n_states = [], [], chains.means.shape[1]
    room = sequences.room(n_states)
    for part in sequences.parts(n_states):
        known, taken = _learn(chains[part], sequences.regions(part), room, n_iter, tol)
        found.append(known)
        n_steps.append(taken)
    return Chains.join(found), torch.cat(n_steps)


def _learn(
    chains: Chains, sequences: Sequences, room: Tensor, n_iter: int, tol: float
) -> tuple[Chains, Tensor]:
    count, total, squares = sequences.moments().unbind(dim=1)
    count = count.clamp(min=1)
    floor = LEAST_VARIANCE * (squares / count - (total / count) ** 2)
    floor = floor.clamp(min=TINY)
    known, active = chains.copy(), torch.arange(len(count))
    n_steps = torch.zeros(len(count), dtype=torch.int64)
    last = torch.full((len(count),), -torch.inf, dtype=torch.float64)
    for _ in range(n_iter):
        chains, now = improve(chains, sequences, floor, room)
        known.put(active, chains)
        n_steps[active] += 1
        goes_on = now - last >= tol * count
        if not goes_on.all():
            keep = goes_on.nonzero()[:, 0]
            chains, sequences = chains[keep], sequences.regions(keep)
            active, floor, count, now = (v[keep] for v in (active, floor, count, now))
        if not len(active):
            break
        last = now
    return known, n_steps


class _Walk:
    """One walk forth and back over time, for all regions and people at once.

    Every few volumes (``RESCALE``), and where a series ends, the forward
    probabilities are divided by their sum, and the densities of that volume with
    them; the logarithms of these sums make the likelihood. A volume is one piece of
    memory, and a person whose series has ended is not walked over any more.
    """

    def __init__(self, chains: Chains, sequences: Sequences, room: Tensor):
        n_volumes, n_regions, _, n_people = sequences.powers.shape
        shape = (n_volumes, n_regions, chains.means.shape[1], n_people)
        size = math.prod(shape)
        self.density, self.ahead = (one[:size].view(shape) for one in room)
        self.sequences, dtype = sequences, room.dtype
        self.start, self.moves = chains.start.to(dtype), chains.moves.to(dtype)
        self.means = chains.means[:, :, None].to(dtype)
        variances = chains.variances[:, :, None]
        self.precision = (-0.5 / variances).to(dtype)
        self.peak = (-0.5 * (2 * math.pi * variances).log()).to(dtype)

    def _see(self, part: slice) -> Tensor:
        """Fill in densities over the largest; return the sum of its logarithms."""
        powers, density = self.sequences.powers[part], self.density[part]
        torch.sub(powers[:, :, 1:2], self.means, out=density)  # (T, R, K, P)
        density.square_().mul_(self.precision).add_(self.peak)
        most = density.amax(dim=2, keepdim=True)
        density.sub_(most).clamp_(min=LEAST_LOG[density.dtype]).exp_()
        return (most[:, :, 0] * powers[:, :, 0]).sum(dim=0)

    def forward(self) -> Tensor:
        """Return the log-likelihoods (R, P); keep what ``backward`` needs."""
        reach = [*self.sequences.reach, 0]
        found = torch.zeros_like(self.ahead[0, :, 0])
        into = self.moves.transpose(1, 2).contiguous()
        every = RESCALE[found.dtype]
        ahead, density = self.ahead.unbind(), self.density.unbind()
        for volume, n in enumerate(reach[:-1]):
            if volume % TOGETHER == 0:
                found += self._see(slice(volume, volume + TOGETHER))
            now, seen = _first(ahead[volume], n), _first(density[volume], n)
            if volume:
                came = torch.bmm(into, _first(ahead[volume - 1], n))
                torch.mul(came, seen, out=now)
            else:
                torch.mul(self.start[:, :, None], seen, out=now)
            if reach[volume + 1] < n or (volume + 1) % every == 0:
                scale = now.sum(dim=1, keepdim=True)
                now.div_(scale)
                seen.div_(scale)
                found[:, :n] += scale[:, 0].log_()
        return found

    def backward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return sums over the time and the people whose series vary.

        Of states at the first volume (R, K), of pairs of states that follow each
        other before their moves are multiplied in (R, K, K), and of states with
        1, x and x squared (R, K, 3).
        """
        if not self.sequences.is_alive.all():
            self.ahead.mul_(self.sequences.is_alive[:, None])
        ahead, density = self.ahead.unbind(), self.density.unbind()
        powers = self.sequences.powers.transpose(2, 3).unbind()  # (R, P, 3) a volume
        reach = self.sequences.reach
        weight = _first(ahead[-1], reach[-1])
        sums = torch.bmm(weight, powers[-1][:, : reach[-1]])
        pairs = torch.zeros_like(self.moves)
        for volume in range(len(ahead) - 2, -1, -1):
            n, n_later = reach[volume], reach[volume + 1]
            now, seen = ahead[volume], _first(density[volume + 1], n_later)
            before = _first(now, n_later)
            pairs.baddbmm_(before, seen.transpose(1, 2))
            later = torch.bmm(self.moves, seen)
            _first(density[volume], n_later).mul_(later)
            weight = before * later
            if n_later < n:  # where a series ends, what is ahead says it all
                weight = torch.cat([weight, now[:, :, n_later:n]], dim=2)
            sums.baddbmm_(weight, powers[volume][:, :n])
        return weight.sum(dim=2), pairs, sums


def _first(values: Tensor, n: int) -> Tensor:
    """Return what belongs to the first n people; no view is made for all."""
    return values if values.shape[2] == n else values[:, :, :n]
