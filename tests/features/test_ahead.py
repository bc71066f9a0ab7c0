"""Reading ahead in a thread: order, errors, and leaving early."""

import threading
import time

import pytest

from bidsclf.features._ahead import BUFFERS, ahead


def test_items_come_in_order():
    assert list(ahead(n for n in range(100))) == list(range(100))
    assert list(ahead(n for n in ())) == []


def test_an_error_comes_after_the_items_before_it():
    def source():
        yield 1
        yield 2
        raise OSError("disk on fire")

    seen = []
    with pytest.raises(OSError, match="disk on fire"):
        seen.extend(ahead(source()))
    items = ahead(source())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(OSError, match="disk on fire"):
        next(items)


def test_leaving_early_closes_the_source_and_ends_the_thread():
    closed, before = [], threading.active_count()

    def source():
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    items = ahead(source())
    next(items)
    items.close()
    assert closed == [True]
    assert threading.active_count() == before


def test_no_more_items_are_made_than_there_are_buffers():
    made = []

    def source():
        for n in range(20):
            made.append(n)
            yield n

    for n in ahead(source()):
        time.sleep(0.002)
        assert made[-1] - n < BUFFERS
