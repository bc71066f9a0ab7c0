"""Where in the brain a network of volumes looks: two maps of places.

Gradient x input says how the log odds answer to small changes; occlusion says what
they lose without a place. Both have a sign, and a size, which is of cubes: strides
leave the gradients of single voxels speckled, and on planted effects the largest of
them lies elsewhere, that of cubes where it was planted. A network that scales each
voxel over time knows nothing of its level and size, so that its signed gradient x
input is 0 over time by construction: read the size, or occlusion.

References
----------
Shrikumar et al. (2016), arXiv:1605.01713 (gradient x input); Zeiler & Fergus
(2014), ECCV, LNCS 8689, 818-833, doi:10.1007/978-3-319-10590-1_53 (occlusion). Of
the latter we depart in what fills a cube: not grey, but the same place of the average
person, constant over volumes, so that what is the person's own goes, in level and in
course, and anatomy, which all people share, stays. From the input of the former the
average person is taken away for the same reason: without it, maps show where brains
are brightest or end.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor

from bidsclf.errors import InputError
from bidsclf.interpret.attribution import PER_PERSON, spaced
from bidsclf.models._arithmetic import exact, moved

GRADIENT, OCCLUSION = "gradient", "occlusion"
SHARE = 6  # cubes of a sixth of an axis: 6 of 34 voxels, some 3 cm, as a gyrus; ours
SMALLEST = 3  # voxels: a cube of fewer is lost in the first layer's stride; ours
N_AVERAGED = 50  # people behind the average person; ours
N_PEOPLE = 10  # of a fold, since one takes 512 passes of 34^3 voxels; ours
AT_ONCE = 80  # volumes a step, so that memory does not grow with the scan; ours

Cube = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class VolumeMap:
    """What one fitted network makes of each voxel, mean over people.

    Attributes
    ----------
    signed : float64 array of shape (X, Y, Z)
        Log odds of class 1: what the voxel adds, over all volumes (gradient), or
        the mean over cubes around it of what is lost without the cube (occlusion).
    size : float64 array of shape (X, Y, Z)
        Without direction: of gradients, the sum over volumes of the magnitudes of
        the sums within a cube around the voxel; of occlusion, the mean over cubes of
        the magnitudes of what is lost. Magnitudes are taken person by person.
    n_people : int
    """

    signed: np.ndarray
    size: np.ndarray
    n_people: int


def average_person(x: Any, *, seed: int = 0) -> np.ndarray:
    """Return the mean volume of people, float64 of shape (X, Y, Z).

    Of each voxel, over those who have it in their brain; 0 where nobody has.

    Parameters
    ----------
    x : Volumes
        Of whom ``N_AVERAGED`` are drawn where there are more.
    seed : int
    """
    drawn = np.random.default_rng(seed).permutation(len(x))[:N_AVERAGED]
    total: Any = 0.0
    times: Any = 0
    for one in x[np.sort(drawn)]:
        mean = np.asarray(one, np.float64).mean(axis=0)
        total, times = total + mean, times + (mean != 0)
    average: np.ndarray = total / np.maximum(times, 1)
    return average


def gradient_map(model: Any, x: Any, *, average: np.ndarray | None = None) -> VolumeMap:
    """Return gradient x input of the log odds, summed over volumes.

    Parameters
    ----------
    model : TorchClassifier
        Fitted, of input 'volume'.
    x : Volumes of n people
        Not learned from, for an honest answer.
    average : float array of shape (X, Y, Z) or None
        Taken from the input within the person's brain; None takes nothing.

    Raises
    ------
    InputError
        There is nobody, or the network's input is no volume.
    """
    samples = model.samples(x)
    which = _needed(spaced(samples.person, PER_PERSON))
    person = samples.person[which]
    share = 1 / np.bincount(person)[person] / len(x)  # of a sample in the mean
    signed: Any = 0.0
    size: Any = 0.0
    # cuDNN's LSTM has a gradient in training mode alone, where dropout draws
    with torch.backends.cudnn.flags(enabled=False):
        for one, weight in zip(which, share, strict=True):
            batch = moved(samples.batch(np.array([one])), model.device)
            volumes = _checked(batch[0]).detach().requires_grad_()
            odds = _odds(model.network, (volumes, *batch[1:])).sum()
            slope = torch.autograd.grad(odds, volumes)[0][0].double().cpu().numpy()
            own = volumes.detach()[0].double().cpu().numpy()  # (T, X, Y, Z)
            brain = (own != 0).any(axis=0)
            if average is not None:
                own = np.where(brain, own - average, 0)
            each = slope * own * weight
            signed = signed + each.sum(axis=0)
            size = size + np.abs(_around(each)).sum(axis=0) * brain
    return _finite(VolumeMap(signed, size, len(x)), GRADIENT)


def window_of(shape: Sequence[int]) -> int:
    """Return the edge of the cube around a voxel, in voxels: odd, as it has a middle.

    Examples
    --------
    >>> window_of((34, 34, 34))
    7
    """
    return cube_of(shape)[0] | 1


def _around(found: np.ndarray) -> np.ndarray:
    """Return the sums of (T, X, Y, Z) within a cube around each voxel."""
    edge = window_of(found.shape[1:])
    mean = uniform_filter(found, (1, edge, edge, edge), mode="constant")
    around: np.ndarray = mean * edge**3
    return around


def occlusion_map(
    model: Any,
    x: Any,
    *,
    average: np.ndarray | None = None,
    seed: int = 0,
    n_people: int = N_PEOPLE,
) -> VolumeMap:
    """Return what the log odds lose when a cube is that of the average person.

    A voxel's value is the mean over the cubes that hold it; voxels outside a
    person's brain, which are 0 in all volumes, are neither replaced nor given one.

    Parameters
    ----------
    model : TorchClassifier
        Fitted, of input 'volume'.
    x : Volumes of n people
        Not learned from.
    average : float array of shape (X, Y, Z) or None
        Fills cubes; None takes the person's mean over brain and volumes.
    seed : int
        Of the people that are drawn where there are more than ``n_people``.
    n_people : int

    Raises
    ------
    InputError
        There is nobody, or the network's input is no volume.
    """
    drawn = np.random.default_rng(seed).permutation(len(x))[:n_people]
    samples = model.samples(x)
    which = _needed(spaced(samples.person, 1))[np.sort(drawn)]
    signed: Any = 0.0
    size: Any = 0.0
    with torch.inference_mode(), exact(model.device):
        for one in which:
            batch = moved(samples.batch(np.array([one])), model.device)
            own = _occluded(model.network, (_checked(batch[0]), *batch[1:]), average)
            signed, size = signed + own[0], size + own[1]
    n = len(which)
    return _finite(VolumeMap(signed / n, size / n, n), OCCLUSION)


def _occluded(
    network: Any, batch: tuple[Any, ...], average: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return signed and size of one person, (X, Y, Z) each."""
    volumes, shape = batch[0][0], tuple(batch[0].shape[2:])
    brain = (volumes != 0).any(dim=0)
    fill = torch.zeros_like(volumes[0])
    if average is not None:
        fill += torch.as_tensor(average).to(fill)
    elif brain.any():
        fill += volumes[:, brain].mean()
    whole = _odds(network, batch)
    signed, size, times = (np.zeros(shape) for _ in range(3))
    inside = [cube for cube in cubes(shape) if brain[cube].any()]
    for some in _blocks(inside, max(1, AT_ONCE // len(volumes))):
        without = torch.stack([_without(volumes, brain, cube, fill) for cube in some])
        rest = (part.repeat_interleave(len(some), dim=0) for part in batch[1:])
        lost = (whole - _odds(network, (without, *rest))).cpu().numpy()
        for cube, value in zip(some, lost, strict=True):
            signed[cube] += value
            size[cube] += abs(value)
            times[cube] += 1
    mask = brain.cpu().numpy() / np.maximum(times, 1)
    return signed * mask, size * mask


def _without(volumes: Tensor, brain: Tensor, cube: Cube, fill: Tensor) -> Tensor:
    """Return volumes (T, X, Y, Z) in which the brain within a cube is constant."""
    left = volumes.clone()
    part = left[(slice(None), *cube)]
    part[:, brain[cube]] = fill[cube][brain[cube]]
    return left


def cube_of(shape: Sequence[int]) -> tuple[int, int]:
    """Return the edge of a cube, and from one cube to the next, in voxels.

    Two thirds of a cube from one to the next: each place is seen by several cubes,
    and the passes stay few.

    Examples
    --------
    >>> cube_of((34, 34, 34)), cube_of((12, 12, 12))
    ((6, 4), (3, 2))
    """
    edge = max(SMALLEST, math.ceil(max(shape) / SHARE))
    return edge, math.ceil(2 * edge / 3)


def cubes(shape: Sequence[int]) -> list[Cube]:
    """Return cubes that cover a grid; the last of an axis ends with it.

    Examples
    --------
    >>> len(cubes((34, 34, 34))), [one[0].start for one in cubes((8, 3, 3))]
    (512, [0, 2, 4, 5])
    """
    edge, stride = cube_of(shape)
    axes = []
    for n in shape:
        last = max(0, n - edge)
        starts = [*range(0, last, stride), last]
        axes.append([slice(start, start + edge) for start in starts])
    return [(a, b, c) for a, b, c in product(*axes)]


def _blocks(cubes: Sequence[Cube], size: int) -> Iterator[Sequence[Cube]]:
    for start in range(0, len(cubes), size):
        yield cubes[start : start + size]


def _odds(network: Any, batch: tuple[Any, ...]) -> Tensor:
    """Return the log odds of class 1, float64 of shape (B,)."""
    logits: Tensor = network(batch).double()
    return logits[:, 1] - logits[:, 0]


def _finite(found: VolumeMap, method: str) -> VolumeMap:
    bad = ~(np.isfinite(found.signed) & np.isfinite(found.size))
    if bad.any():
        raise InputError(
            f"{bad.sum()} of {bad.size} voxels of the {method} map are not finite; a"
            " network's log odds and their slopes are numbers. Report it."
        )
    return found


def _needed(which: np.ndarray) -> np.ndarray:
    if not len(which):
        raise InputError("no person to make a map of; give one or more.")
    return which


def _checked(volumes: Tensor) -> Tensor:
    if volumes.ndim != 5:
        raise InputError(
            f"the model's input has shape {tuple(volumes.shape)}; a map takes volumes:"
            " (people, volumes, X, Y, Z)."
        )
    return volumes
