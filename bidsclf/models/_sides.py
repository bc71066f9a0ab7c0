"""Training or validation rows as the loop goes through them."""

import numpy as np
import torch

from bidsclf.models._training import Part


class Side:
    """A part with its labels and weights as tensors.

    Parameters
    ----------
    part : Part
    device : torch.device
    """

    def __init__(self, part: Part, device: torch.device) -> None:
        self.samples, self.truth = part.samples, np.asarray(part.y, np.int64)
        self.y = torch.as_tensor(self.truth).to(device)
        self.weight = torch.as_tensor(np.asarray(part.weight, np.float32)).to(device)

    def batches(self, size: int, per_person: int) -> list[np.ndarray]:
        """Return the samples of an epoch, in random order, in batches.

        Samples may draw their own batches (``drawn``).
        """
        own = getattr(self.samples, "drawn", None)
        if own is not None:
            drawn: list[np.ndarray] = own(self.truth)
            return drawn
        return cut(self.draw(per_person), size)

    def draw(self, per_person: int) -> np.ndarray:
        """Return the samples of an epoch in random order.

        Samples that are read from a disk may arrange it, so that reading is fast.
        """
        arranged = getattr(self.samples, "arranged", lambda which: which)
        if not per_person:
            every: np.ndarray = arranged(torch.randperm(len(self.samples)).numpy())
            return every
        person = self.samples.person
        keys = torch.rand(len(person), dtype=torch.float64).numpy()
        shuffled = np.lexsort((keys, person))  # people in order, samples not
        counts = np.bincount(person)
        place = np.arange(len(person)) - np.repeat(np.cumsum(counts) - counts, counts)
        taken = shuffled[place < per_person]
        some: np.ndarray = arranged(taken[torch.randperm(len(taken)).numpy()])
        return some


def cut(which: np.ndarray, size: int) -> list[np.ndarray]:
    """Return samples in batches of a size, the last of which may be smaller.

    Examples
    --------
    >>> cut(np.arange(5), 2)
    [array([0, 1]), array([2, 3]), array([4])]
    """
    return [which[start : start + size] for start in range(0, len(which), size)]
