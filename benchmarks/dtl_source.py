"""Choose dtl's pre-training on controls of sites that no benchmark tests.

Controls of Yale and Leuven of a seam-1 folder, in three parts: autoencoders learn from
two and reconstruct the third. What is left of the error of the mean person, by rate and
epoch, for both layers; the second is on activities of the first.

    OMP_NUM_THREADS=1 python benchmarks/dtl_source.py ../abide4
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from bidsclf.models._arithmetic import seeded
from bidsclf.models._autoencoder import (
    Penalties,
    SparseAutoencoder,
    Stack,
    Vectors,
    unit_interval,
)
from bidsclf.models._loop import learn
from bidsclf.models._training import Part, Training
from bidsclf.models.dtl import PENALTIES, SOURCE

SITES = ("YALE", "LEUVEN_1", "LEUVEN_2")
EPOCHS = ((5, 10, 20, 40), (50, 100, 200, 400))  # of each layer
RATES = (1e-3, 3e-3)
N_PARTS = 3
CPU = torch.device("cpu")


def controls(seam: Path) -> torch.Tensor:
    """Return edges of the controls on [0, 1], of shape (n, n_edges)."""
    people = pd.read_csv(seam / "participants.tsv", sep="\t")
    own = people[people["site"].isin(SITES) & (people["diagnosis"] == "control")]
    rows = []
    for who in sorted(own["participant_id"]):
        file = next(seam.glob(f"{who}/func/*stat-fisherz*relmat.tsv"), None)
        if file is None:  # the list holds people who were not extracted
            continue
        matrix = pd.read_csv(file, sep="\t", na_values="n/a").fillna(0).to_numpy()
        rows.append(matrix[np.triu_indices(len(matrix), k=1)])
    return unit_interval(rows)


def left(encoder, train, test, rate, n_epochs) -> list[float]:
    """Train an encoder; return the share of error left in others, epoch by epoch."""
    training = Training(
        n_epochs=n_epochs,
        batch_size=SOURCE["source_batch"],
        learning_rate=rate,
        weight_decay=0.0,
        monitor="last",
    )
    with seeded(0, CPU):
        one = SparseAutoencoder(encoder, train, Penalties(**PENALTIES))
        parts = [Part(Vectors(v), np.zeros(len(v)), np.ones(len(v)))
                 for v in (train, test)]  # fmt: skip
        told = learn(one, parts[0], training, valid=parts[1]).history
    mean = (test - train.mean(dim=0)).square().sum(dim=1).mean().item()
    return [entry["valid"]["reconstruction"] / mean for entry in told]


def main() -> None:
    """Print a row a layer and rate: what is left after so many epochs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seam", type=Path)
    everyone = controls(parser.parse_args().seam)
    order = np.random.default_rng(0).permutation(len(everyone))
    parts = np.array_split(order, N_PARTS)
    print(f"{len(everyone)} controls, {everyone.shape[1]} edges")
    for rate in RATES:
        rows = []
        for held_out in parts:
            train = everyone[np.setdiff1d(order, held_out)]
            with seeded(0, CPU):
                stack = Stack(everyone.shape[1], (100, 50))
            first, second = stack.encoders()
            test = everyone[held_out]
            one = left(first, train, test, rate, EPOCHS[0][-1])
            with seeded(0, CPU):  # a first layer as dtl has it
                first, second = Stack(everyone.shape[1], (100, 50)).encoders()
            left(first, train, test, SOURCE["source_rate"], SOURCE["source_epochs"][0])
            with torch.inference_mode():
                active = first(train).clone(), first(test).clone()
            two = left(second, *active, rate, EPOCHS[1][-1])
            rows.append([one, two])
        for layer in (0, 1):
            means = np.mean([row[layer] for row in rows], axis=0)
            told = [f"{n}: {means[n - 1]:.3f}" for n in EPOCHS[layer]]
            best = int(np.argmin(means)) + 1
            print(f"layer {layer + 1}, rate {rate:g}: {', '.join(told)};"
                  f" least {means.min():.3f} at {best}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
