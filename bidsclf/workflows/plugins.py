"""How a graph is run: quietly, on one machine or on a cluster."""

import logging
import multiprocessing
import os
import signal
import threading
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from threadpoolctl import threadpool_limits

from bidsclf.config import RunConfig
from bidsclf.errors import ConfigError, Terminated
from bidsclf.workflows._run import KILLED, node_name

os.environ |= {"NO_ET": "1", "NIPYPE_NO_ET": "1"}  # telemetry waits 10 s offline
import nipype
import yaml
from nipype.pipeline.plugins.multiproc import MultiProcPlugin

LOG = logging.getLogger("bidsclf")
POLL_S = 0.01  # nipype's own 2 s cost a second a node
CLUSTER_POLL_S = 1.0  # each poll asks the scheduler once a job; ours
SIGNALS = MappingProxyType(
    {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class SturdyMultiProcPlugin(MultiProcPlugin):
    """MultiProc that outlives its workers.

    Nipype's own waits for ever when a worker is killed, by the system for its
    memory or by hand. Here each worker is a pool of its own, so that the node of
    the killed worker fails and no other does.
    """

    def __init__(self, plugin_args: dict[str, Any] | None = None) -> None:
        super().__init__(plugin_args)
        self.pool.shutdown()  # made by nipype, never used
        n_threads = self.plugin_args.get("omp_nthreads", 1)
        self.pool = _Workers(n_threads, self.plugin_args.get("preload", []))


class _Workers:
    """Single-process pools, as many as are busy at once."""

    def __init__(self, n_threads: int, preload: Sequence[str] = ()) -> None:
        self._idle: list[ProcessPoolExecutor] = []
        self._all: list[ProcessPoolExecutor] = []
        self._n_threads, self._preload = n_threads, list(preload)

    def submit(
        self, run_node: Callable[..., Any], node: Any, updatehash: bool, task: int
    ) -> "Future[dict[str, Any]]":
        """Run a node; the result of a killed worker is a traceback, as a failure's."""
        answer: Future[dict[str, Any]] = Future()
        pool = self._idle.pop() if self._idle else self._start()
        try:
            running = pool.submit(run_node, node, updatehash, task)
        except BrokenProcessPool:  # it died while it waited
            pool = self._start()
            running = pool.submit(run_node, node, updatehash, task)
        running.add_done_callback(partial(self._finish, pool, answer, task))
        return answer

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(self._preload)
        pool = ProcessPoolExecutor(
            1, mp_context=context, initializer=_begin, initargs=(self._n_threads,)
        )
        self._all.append(pool)
        return pool

    def _finish(
        self, pool: ProcessPoolExecutor, answer: Future, task: int, done: Future
    ) -> None:
        error = done.exception()
        if error is None:
            result = done.result()
        else:
            killed = f"{KILLED}; out of memory? Lower --nprocs."
            words = killed if _is_broken(error) else repr(error)
            result = {
                "result": None,
                "traceback": [f"RuntimeError: {words}\n"],
                "taskid": task,
            }
        if not _is_broken(error):
            self._idle.append(pool)
        answer.set_result(result)

    def shutdown(self) -> None:
        """Let the workers end; what still runs is ended with them."""
        for pool in self._all:
            for worker in list((pool._processes or {}).values()):
                worker.terminate()
            pool.shutdown(wait=True, cancel_futures=True)


def _is_broken(error: BaseException | None) -> bool:
    return isinstance(error, BrokenProcessPool)


def _begin(n_threads: int) -> None:
    """Set up a worker: few threads, a quiet nipype, and no life after its parent."""
    os.environ |= dict.fromkeys(THREADS, str(n_threads))
    threadpool_limits(n_threads)
    _quieten()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _quieten() -> None:
    nipype.config.update_config(
        {"logging": {"workflow_level": "CRITICAL", "interface_level": "CRITICAL"}}
    )
    nipype.logging.update_logging(nipype.config)


def node(settings: RunConfig, shell: Any, unit: str, gb: float) -> nipype.Node:
    """Return the node of a unit, with the memory and threads that it takes."""
    threads = min(settings.omp_nthreads, settings.nprocs)
    return nipype.Node(shell, name=node_name(unit), mem_gb=gb, n_procs=threads)


def execute(
    graph: nipype.Workflow,
    settings: RunConfig,
    *,
    crashes: Path,
    preload: Sequence[str] = (),
) -> None:
    """Run a graph to its end; the nodes themselves leave word of how it went.

    Parameters
    ----------
    graph : Workflow
        A node that fails stops what depends on it, and nothing else.
    settings : RunConfig
    crashes : Path
        Folder of the crash files, one text file a node that failed.
    preload : sequence of str
        Modules imported once for all workers of this machine.
    """
    _quieten()
    os.environ |= dict.fromkeys(THREADS, str(settings.omp_nthreads))
    name, arguments = choose(settings)
    is_here = name in ("Sturdy", "Linear")
    graph.config["execution"] = {
        "poll_sleep_duration": POLL_S if is_here else CLUSTER_POLL_S,
        "crashfile_format": "txt",
        "crashdump_dir": str(crashes.absolute()),
        "stop_on_first_crash": str(settings.stop_on_first_crash).lower(),
        "remove_node_directories": "false",
        "create_report": "false",
        "check_version": "false",
    }
    here, before = Path.cwd(), set(crashes.glob("crash-*.txt"))
    runner: Any = name
    try:
        with threadpool_limits(settings.omp_nthreads), _watched(graph) as callback:
            arguments = arguments | {"status_callback": callback}
            if name == "Sturdy":
                arguments["preload"] = list(preload)
                runner = SturdyMultiProcPlugin(arguments)
            graph.run(plugin=runner, plugin_args=arguments)
    except KeyboardInterrupt:
        _forget_interrupts(set(crashes.glob("crash-*.txt")) - before)
        raise
    except (RuntimeError, OSError, ValueError) as error:
        if set(crashes.glob("crash-*.txt")) == before:  # nipype's own trouble
            raise
        LOG.debug("nipype: %s", error)
    finally:
        os.chdir(here)
        if isinstance(runner, SturdyMultiProcPlugin):
            runner.pool.shutdown()


def _forget_interrupts(crashes: Iterable[Path]) -> None:
    """Remove the crash files of nodes that only were interrupted."""
    for path in crashes:
        text = path.read_text(encoding="utf-8", errors="replace")
        if any(name in text for name in ("KeyboardInterrupt", Terminated.__name__)):
            path.unlink(missing_ok=True)


@contextmanager
def _watched(graph: nipype.Workflow) -> Iterator[Callable[[Any, str], None]]:
    """Say how far a graph is, and let Ctrl-C and SIGTERM end it.

    A Linear run takes Ctrl-C for a node that failed, and goes on.
    """
    pressed: list[type[KeyboardInterrupt]] = []
    ended: set[str] = set()
    total = len(graph.list_node_names())

    def press(number: int, frame: Any) -> None:
        pressed.append(SIGNALS[signal.Signals(number)])
        raise pressed[-1]

    def callback(node: Any, status: str) -> None:
        if pressed:
            raise pressed[-1]
        if status != "start" and node.name not in ended:
            ended.add(node.name)
            LOG.info("%d of %d: %s", len(ended), total, node.name)

    if threading.current_thread() is not threading.main_thread():
        yield callback
        return
    before = {number: signal.signal(number, press) for number in SIGNALS}
    try:
        yield callback
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def choose(settings: RunConfig) -> tuple[str, dict[str, Any]]:
    """Return the name of nipype's plugin and its arguments.

    ``--nipype-plugin-file`` decides if given, and its MultiProc is ours; else one
    process is Linear and more are MultiProc.

    Raises
    ------
    ConfigError
        The plugin file cannot be read, or does not name a plugin.
    """
    own: dict[str, Any] = {
        "n_procs": settings.nprocs,
        "omp_nthreads": settings.omp_nthreads,
        "raise_insufficient": False,
    }
    if settings.mem_gb is not None:
        own["memory_gb"] = settings.mem_gb
    if settings.nipype_plugin_file is None:
        return ("Sturdy", own) if settings.nprocs > 1 else ("Linear", {})
    given = _read_plugin(settings.nipype_plugin_file)
    name, arguments = given["plugin"], given.get("plugin_args") or {}
    if name != "MultiProc":
        return name, arguments
    return "Sturdy", own | arguments | {"raise_insufficient": False}


def _read_plugin(path: Path) -> dict[str, Any]:
    """Read YAML or JSON (which is YAML), or TOML by its name."""
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"--nipype-plugin-file {path}: {error}. It is a YAML or JSON file:"
            " plugin: SLURM, plugin_args: {...}."
        ) from error
    known = nipype.pipeline.plugins
    plugin = values.get("plugin") if isinstance(values, dict) else None
    if not isinstance(plugin, str) or not hasattr(known, f"{plugin}Plugin"):
        raise ConfigError(
            f"--nipype-plugin-file {path}: plugin is {plugin!r}; it names one of"
            f" nipype's: {', '.join(sorted(_plugin_names(known)))}."
        )
    arguments = values.get("plugin_args") or {}
    if not isinstance(arguments, dict):
        raise ConfigError(
            f"--nipype-plugin-file {path}: plugin_args is {arguments!r}; it is a table"
            " of nipype's settings, such as {sbatch_args: --mem=2G}."
        )
    return values


def _plugin_names(module: Any) -> Iterator[str]:
    return (n.removesuffix("Plugin") for n in dir(module) if n.endswith("Plugin"))
