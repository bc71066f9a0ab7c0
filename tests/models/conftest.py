"""A network that is small enough to be written out by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bidsclf.models._training import Losses


class Points:
    """Rows of an array, each the sample of one person."""

    def __init__(self, x, person):
        self.x, self.person = x, person

    def __len__(self):
        return len(self.person)

    def batch(self, which):
        return (torch.from_numpy(self.x[which]),)


class Toy(nn.Module):
    """A line with dropout; every person of (S, R) numbers gives S samples."""

    calls = None  # counts the batches, if a test asks

    def __init__(self, width, *, dropout=0.5):
        super().__init__()
        self.drop, self.line = nn.Dropout(dropout), nn.Linear(width, 2)

    @staticmethod
    def samples(rows):
        person = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        return Points(np.concatenate(list(rows)), person)

    def forward(self, batch):
        return self.line(self.drop(batch[0]))

    def loss(self, batch, y, weight):
        if self.calls is not None:
            self.calls.append(len(y))
        logits = self(batch)
        each = weight * F.cross_entropy(logits, y, reduction="none")
        size = (self.line.weight**2).sum()
        return Losses(each.mean() + 0 * size, logits, {"size": size})


@pytest.fixture
def make_toy():
    """``make_toy(width=3, dropout=0.5)``: the same weights each time."""

    def make(width=3, **settings):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return Toy(width, **settings)

    return make


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
