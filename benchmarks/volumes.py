"""Networks of volumes: the speed of time folded into the batch.

loop: samples a second of training steps (forward, backward, optimizer) of
   resnet3d-b-bilstm on 20 volumes of 34 x 34 x 34, with time folded into the batch,
   and of the same network in a loop over the 20 steps, which take turns. The loop runs
   twice: with the network's own first layers and with plain ones; the faster counts.
   The aim is judged at the batch size that the variant has; smaller ones are shown.
   A loop at batch 32 gives its kernels 32 volumes at a time, which keep a core's
   multipliers busy: the line on products says what no network can pass. Folding pays
   where a step of the loop is small: at batches of 1 and 2, or on a GPU.

    OMP_NUM_THREADS=1 python benchmarks/volumes.py
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

NAME, SIZE, N_STEPS = "resnet3d-b-bilstm", 34, 20
BATCHES = (1, 2, 8, 32)  # the last is the variant's own
FASTER = 2.0  # the aim, times a loop


def verdict(passed: bool, text: str) -> bool:
    print(f"{'PASS' if passed else 'FAIL'}: {text}")
    return passed


def contenders() -> tuple[Any, dict[str, Callable[[Any, Any], Any]]]:
    """Return a network, and how it turns a batch into features: (B, T, F)."""
    import torch

    from bidsclf.models._base import find
    from bidsclf.models._blocks import fold, unfold

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = find(NAME).make()
    network = model.make(SIZE, **model.settings).train()
    cnn, lean = network.cnn, network.cnn.stem.forward

    def looped(x: Any, lengths: Any) -> Any:
        return torch.stack([cnn(x[:, t : t + 1]) for t in range(N_STEPS)], dim=1)

    def plain(x: Any, lengths: Any) -> Any:
        cnn.stem.forward = cnn.stem.plain
        try:
            return looped(x, lengths)
        finally:
            cnn.stem.forward = lean

    return network, {
        "time in the batch": lambda x, n: unfold(cnn(fold(x, n).unsqueeze(1)), n),
        "loop": looped,
        "loop, plain first layers": plain,
    }


def stepper(network: Any, batch: int) -> Callable[[Any], float]:
    """Return what trains a step with given features, and tells processor seconds."""
    import torch
    from torch.nn import functional as F

    x = torch.randn(batch, N_STEPS, SIZE, SIZE, SIZE)
    lengths, y = torch.full((batch,), N_STEPS), torch.arange(batch) % 2
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def step(features: Callable[[Any, Any], Any]) -> float:
        start = time.process_time()
        optimizer.zero_grad()
        states = network.brnn(features(x, lengths), lengths)
        odds = network.dense(network.dropout(states))[:, 0]
        F.binary_cross_entropy_with_logits(odds, y.float()).backward()
        optimizer.step()
        return time.process_time() - start

    return step


def loop(given: argparse.Namespace) -> bool:
    """Return whether time in the batch is fast enough."""
    network, how = contenders()
    print(f"{NAME}, samples/s of one core: " + ", ".join(how))
    for batch in BATCHES:
        step, n = stepper(network, batch), max(1, 8 // batch)
        rates = []
        for _ in range(given.rounds + 1):  # the first is not counted
            took = [sum(step(one) for _ in range(n)) for one in how.values()]
            rates.append([batch * n / one for one in took])
        middle = np.median(rates[1:], axis=0)
        ratio = np.median([row[0] / max(row[1:]) for row in rates[1:]])
        told = "".join(f"{rate:9.2f}" for rate in middle)
        print(f"batch {batch:3}{told}    {ratio:.2f} x the faster loop")
    print(f"products alone at this core's peak: {ceiling(network):.1f} samples/s")
    text = f"{ratio:.2f} x a loop over time at batch {batch}, aim {FASTER} x"
    return verdict(bool(ratio >= FASTER), text)


def ceiling(network: Any) -> float:
    """Return samples/s of a core that does nothing but the convolutions' products.

    Forward, and backward to weights and, save of the first one, to inputs; what a
    kernel multiplies with the zeros around a map is counted, as a kernel does it.
    """
    import torch
    from torch import nn

    square, times = torch.ones(1024, 1024), []
    for _ in range(20):
        start = time.process_time()
        square @ square
        times.append(time.process_time() - start)
    products: list[float] = []

    def count(layer: Any, _: Any, out: Any) -> None:
        passes = 2 if layer.in_channels == 1 else 3
        products.append(passes * out[0, 0].numel() * layer.weight.numel())

    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, nn.Conv3d)
    ]
    with torch.no_grad():
        network.cnn.eval()(torch.zeros(1, 1, SIZE, SIZE, SIZE))
    network.train()
    for hook in hooks:
        hook.remove()
    return 1024**3 / min(times) / (N_STEPS * sum(products))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    print(f"python {' '.join(sys.argv)}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    passed = [PARTS[name](given) for name in given.only]
    return 0 if all(passed) else 1


PARTS: dict[str, Callable[[argparse.Namespace], bool]] = {"loop": loop}

if __name__ == "__main__":
    sys.exit(main())
