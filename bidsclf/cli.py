"""argv to settings to a workflow; what a user can mend is said without a traceback."""

import argparse
import logging
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from bidsclf import arguments
from bidsclf.config import Config
from bidsclf.errors import BidsclfError, ConfigError, Terminated
from bidsclf.options import names

BUG = 1
INTERRUPTED = 130  # 128 + SIGINT, as shells do
TERMINATED = 143  # 128 + SIGTERM
SOURCES = "bidsclf.sources"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def _log(level: int) -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("bidsclf").setLevel(level)


def _prepare(config: Config) -> None:
    """Set what must stand before numpy, torch and nipype are imported."""
    os.environ |= {"NO_ET": "1", "NIPYPE_NO_ET": "1"}  # no telemetry
    os.environ |= dict.fromkeys(THREADS, str(config.run.omp_nthreads))
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    _log(levels[min(config.run.verbose, 2)])


def _run(config: Config, command: str) -> int:
    if config.level == "group":
        problems = arguments.unknown_models(config.analysis.models)
        if problems:
            raise ConfigError("\n".join(problems))
    workflow = import_module(f"bidsclf.workflows.{config.level}")
    code: int = getattr(workflow, f"run_{config.level}")(config, command=command)
    return code


def _report(error: BidsclfError) -> int:
    lines = str(error).splitlines() or [type(error).__name__]
    sys.stderr.writelines(f"bidsclf: {line}\n" for line in lines)
    return error.exit_code


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does, so that it leaves no folder behind."""

    def end(number: int, frame: Any) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _guarded(work: Callable[[], int]) -> int:
    """Return the exit code of work, whatever happens in it."""
    try:
        return work()
    except BidsclfError as error:
        return _report(error)
    except Terminated:
        sys.stderr.write("bidsclf: terminated; run it again to go on.\n")
        return TERMINATED
    except KeyboardInterrupt:
        sys.stderr.write("bidsclf: interrupted; run it again to go on.\n")
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        return BUG


def main(argv: Sequence[str] | None = None) -> int:
    """Run the app and return its exit code (see ``--help``)."""
    words = sys.argv[1:] if argv is None else list(argv)

    def work() -> int:
        config = arguments.to_config(arguments.parse(words))
        _prepare(config)
        return _run(config, shlex.join(["run.py", *words]))

    with _ended_by_sigterm():
        return _guarded(work)


def _data_parser() -> argparse.ArgumentParser:
    sources = {name.replace("_", "-"): name for name in names(SOURCES)}
    parser = argparse.ArgumentParser(
        prog="bidsclf-data",
        description="Bring other layouts to bidsclf's features, or make a dataset whose"
        " truth is known.",
    )
    commands = parser.add_subparsers(dest="source", required=True, metavar="SOURCE")
    for option, module in sources.items():
        source = import_module(f"{SOURCES}.{module}")
        command = commands.add_parser(option, help=source.HELP, description=source.HELP)
        source.add_arguments(command)
        command.set_defaults(run=source.run)
    return parser


def data_main(argv: Sequence[str] | None = None) -> int:
    """Run ``bidsclf-data SOURCE ...`` and return its exit code."""
    words = sys.argv[1:] if argv is None else list(argv)

    def work() -> int:
        namespace = _data_parser().parse_args(words)
        _log(logging.INFO)
        code: int = namespace.run(namespace)
        return code

    with _ended_by_sigterm():
        return _guarded(work)
