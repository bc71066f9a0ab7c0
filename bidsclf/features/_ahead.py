"""Read ahead: run an iterator in a thread of its own."""

from collections.abc import Generator
from dataclasses import dataclass
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")
BUFFERS = 3  # one being filled, one waiting, one in use
POLL_S = 0.05


def ahead(source: Generator[T, None, None]) -> Generator[T, None, None]:
    """Yield what ``source`` yields, while it already works on what comes next.

    At most ``BUFFERS`` items exist at a time, so ``source`` may use that many in
    turn. What it raises is raised here, after the items before it; leaving early
    closes it.

    Examples
    --------
    >>> list(ahead(n * n for n in range(4)))
    [0, 1, 4, 9]
    """
    line = _Line()
    worker = Thread(target=_work, args=(source, line), daemon=True)
    worker.start()
    try:
        while (found := line.waiting.get()) is not None:
            if isinstance(found, _Raised):
                raise found.error
            yield found[0]
    finally:
        line.is_left.set()
        worker.join()


class _Line:
    """What stands between the thread and its reader: one item, and a way out."""

    def __init__(self) -> None:
        self.waiting: Queue[Any] = Queue(maxsize=1)
        self.is_left = Event()

    def put(self, item: Any) -> bool:
        """Wait for room; tell whether the reader is still there."""
        while not self.is_left.is_set():
            try:
                self.waiting.put(item, timeout=POLL_S)
            except Full:
                continue
            return True
        return False


@dataclass
class _Raised:
    error: BaseException


def _work(source: Generator[Any, None, None], line: _Line) -> None:
    try:
        for item in source:
            if not line.put((item,)):
                break
        else:
            line.put(None)
    except BaseException as error:  # raised again where the items are read
        line.put(_Raised(error))
    finally:
        source.close()
