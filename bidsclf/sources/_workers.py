"""The same task for many people, over several processes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from bidsclf.errors import ConfigError, InputError


def each(
    task: Callable[[Any], Any], items: Sequence[Any], *, nprocs: int
) -> Iterator[Any]:
    """Yield the task's result for each item, in the order of the items.

    Parameters
    ----------
    task : callable
        Can be pickled when ``nprocs > 1``.
    items : sequence
    nprocs : int
        Processes; 1 stays in this one.

    Raises
    ------
    ConfigError
        ``nprocs`` is below 1.
    InputError
        A process was killed.

    Examples
    --------
    >>> list(each(abs, [-1, 2], nprocs=1))
    [1, 2]
    """
    if nprocs < 1:
        raise ConfigError(f"--nprocs is {nprocs}; it takes 1 or more.")
    if nprocs == 1 or len(items) < 2:
        yield from map(task, items)
        return
    workers = min(nprocs, len(items))
    try:
        with ProcessPoolExecutor(workers, get_context("forkserver")) as pool:
            yield from pool.map(task, items)
    except BrokenProcessPool as error:
        raise InputError(
            f"one of {workers} processes was killed, mostly for want of memory."
            " Lower --nprocs and run again: what is done is not done again."
        ) from error
