"""Hidden Markov models of all regions at once against hmmlearn, one at a time.

Both take the same steps of EM from the same start, then the log-likelihood of every
series in double precision, on one thread. Ours takes the steps in single precision,
as the model does; double precision is timed beside it and judged by its likelihoods
too. hmmlearn is timed on some regions, in turn with ours, and scaled to all; it runs
as it is by default, which is judged, and with its faster recursions
(``implementation="scaling"``). Its prior on variances is set to 0, so that its steps
are maximum likelihood as ours. Times are CPU seconds.

    OMP_NUM_THREADS=1 python benchmarks/hmm.py
"""

import argparse
import os
import platform
import sys
import time

import numpy as np
import torch
from hmmlearn.hmm import GaussianHMM

from bidsclf.models._hmm import Chains, begin, learn, log_likelihood
from bidsclf.models._sequences import Sequences

N_PEOPLE, N_REGIONS, N_STATES, N_STEPS = 80, 116, 3, 10
AIM = 30.0  # times faster
CLOSE = {torch.float32: 1e-6, torch.float64: 1e-9}  # of likelihoods, relative


def invented(rng: np.random.Generator) -> list[np.ndarray]:
    """Return z-scored smooth series of about 180 volumes, the longest first."""
    made = []
    for length in sorted(rng.integers(175, 186, N_PEOPLE), reverse=True):
        one = rng.normal(size=(length, N_REGIONS))
        for volume in range(1, length):
            one[volume] += 0.7 * one[volume - 1]
        made.append((one - one.mean(axis=0)) / one.std(axis=0))
    return made


def ours(
    series: list[np.ndarray], start: Chains, dtype: torch.dtype
) -> tuple[float, np.ndarray]:
    """Return CPU seconds, padding included, and log-likelihoods (R, P)."""
    began = time.process_time()
    sequences = Sequences.of(series)
    steps = sequences if dtype == torch.float64 else sequences.single()
    learned, _ = learn(start, steps, N_STEPS, -np.inf)
    found = log_likelihood(learned, sequences)
    return time.process_time() - began, found.numpy()


def theirs(
    series: list[np.ndarray], start: Chains, region: int, implementation: str
) -> tuple[float, np.ndarray]:
    """Return CPU seconds and log-likelihoods (P,) of one region."""
    own = [one[:, [region]] for one in series]
    began = time.process_time()
    model = GaussianHMM(
        N_STATES,
        covariance_type="diag",
        covars_prior=0,
        init_params="",
        n_iter=N_STEPS,
        tol=-np.inf,
        implementation=implementation,
    )
    model.startprob_ = start.start[region].numpy()
    model.transmat_ = start.moves[region].numpy()
    model.means_ = start.means[region, :, None].numpy()
    model.covars_ = start.variances[region, :, None].numpy()
    model.fit(np.concatenate(own), [len(one) for one in own])
    found = np.array([model.score(one) for one in own])
    return time.process_time() - began, found


def duel(n_peer: int) -> bool:
    """Time both in turn; return whether likelihoods agree and the aim is met."""
    series = invented(np.random.default_rng(0))
    start = begin(Sequences.of(series), N_STATES)
    spent: dict[torch.dtype, list[float]] = {torch.float32: [], torch.float64: []}
    peers: dict[str, list[float]] = {"log": [], "scaling": []}
    gaps = dict.fromkeys(spent, 0.0)
    ours(series, start, torch.float64)  # the first allocations
    for region in np.linspace(0, N_REGIONS - 1, n_peer).astype(int):
        timed = {dtype: ours(series, start, dtype) for dtype in spent}
        for implementation, seconds in peers.items():
            taken, expected = theirs(series, start, region, implementation)
            seconds.append(taken)
        for dtype, (taken, found) in timed.items():
            spent[dtype].append(taken)
            gap = float(np.abs(found[region] / expected - 1).max())
            gaps[dtype] = max(gaps[dtype], gap)
    for dtype, seconds in spent.items():
        print(
            f"ours, {str(dtype).removeprefix('torch.'):<16}{np.median(seconds):7.2f} s"
            f"  (median of {n_peer}); likelihoods differ by {gaps[dtype]:.0e} at most"
        )
    single, double = (float(np.median(seconds)) for seconds in spent.values())
    for implementation, seconds in peers.items():
        total = float(np.median(seconds)) * N_REGIONS
        print(
            f"hmmlearn, {implementation:<12}{total:7.2f} s  ({n_peer} of {N_REGIONS}"
            f" regions timed, scaled): {total / single:.0f} x ours,"
            f" {total / double:.0f} x in double precision"
        )
    ratio = float(np.median(peers["log"])) * N_REGIONS / single
    passed = ratio >= AIM and all(gaps[dtype] < CLOSE[dtype] for dtype in gaps)
    print(
        f"{'PASS' if passed else 'FAIL'}: {ratio:.0f} x faster than hmmlearn by"
        f" default, aim {AIM:.0f} x, with the same likelihoods"
    )
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-regions", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"python {' '.join(sys.argv)}")
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, OMP_NUM_THREADS ="
        f" {os.environ.get('OMP_NUM_THREADS', 'unset')}"
    )
    print(
        f"{N_PEOPLE} people x {N_REGIONS} regions x about 180 volumes, {N_STATES}"
        f" states, {N_STEPS} steps of EM\n"
    )
    return 0 if duel(given.peer_regions) else 1


if __name__ == "__main__":
    sys.exit(main())
