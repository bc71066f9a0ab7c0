"""Graphs run to their end, whatever happens to a worker."""

import os
import subprocess
import sys
import textwrap
import time

import pytest
from nipype import Function, Node, Workflow

from bidsclf.config import RunConfig
from bidsclf.errors import ConfigError
from bidsclf.workflows import _run, plugins


def deed(deed, mark, seconds=0.0):
    import os
    import signal
    import time
    from pathlib import Path

    time.sleep(seconds)
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "raise":
        raise ZeroDivisionError("a bug of ours")
    Path(mark).write_text(f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')}")
    return mark


def graph_of(tmp_path, deeds):
    graph = Workflow("deeds", base_dir=str(tmp_path / "work"))
    for name, what, seconds in deeds:
        node = Node(
            Function(
                input_names=["deed", "mark", "seconds"],
                output_names=["out"],
                function=deed,
            ),
            name=name,
        )
        node.inputs.trait_set(deed=what, mark=str(tmp_path / name), seconds=seconds)
        graph.add_nodes([node])
    return graph


def follow(graph, tmp_path, first, name):
    node = Node(
        Function(
            input_names=["deed", "mark", "after"], output_names=["out"], function=deed
        ),
        name=name,
    )
    node.inputs.trait_set(deed="touch", mark=str(tmp_path / name))
    graph.connect(graph.get_node(first), "out", node, "after")


@pytest.mark.parametrize("nprocs", [1, 2])
def test_a_bug_leaves_a_text_file_and_the_others_finish(tmp_path, nprocs):
    crashes = tmp_path / "log s"  # a space in the path
    crashes.mkdir()
    graph = graph_of(tmp_path, [("bad", "raise", 0), ("good", "touch", 0.1)])
    plugins.execute(graph, RunConfig(nprocs=nprocs, omp_nthreads=1), crashes=crashes)
    assert (tmp_path / "good").exists()
    (crash,) = crashes.iterdir()
    assert crash.suffix == ".txt"
    assert "ZeroDivisionError: a bug of ours" in crash.read_text()


def test_a_killed_worker_fails_its_own_node_only(tmp_path):
    crashes = tmp_path / "logs"
    crashes.mkdir()
    deeds = [
        ("busy", "touch", 1.0),
        ("dies", "die", 0.2),
        *((f"n{i}", "touch", 0) for i in range(3)),
    ]
    graph = graph_of(tmp_path, deeds)
    start = time.perf_counter()
    plugins.execute(graph, RunConfig(nprocs=2, omp_nthreads=1), crashes=crashes)
    assert time.perf_counter() - start < 30
    assert {p.name for p in tmp_path.iterdir()} >= {"busy", "n0", "n1", "n2"}
    assert not (tmp_path / "dies").exists()
    (crash,) = crashes.iterdir()
    assert f"{_run.KILLED}; out of memory? Lower --nprocs." in crash.read_text()


def test_only_a_killed_worker_is_told_to_lower_nprocs(tmp_path):
    workers = plugins._Workers(1)
    answer = workers.submit(deed, lambda: None, False, 1).result(60)  # not picklable
    workers.shutdown()
    (text,) = answer["traceback"]
    assert "ickle" in text
    assert "--nprocs" not in text
    assert plugins.KILLED not in text


def test_workers_have_few_threads(tmp_path):
    graph = graph_of(tmp_path, [("a", "touch", 0)])
    plugins.execute(graph, RunConfig(nprocs=2, omp_nthreads=2), crashes=tmp_path)
    pid, threads = (tmp_path / "a").read_text().split()
    assert (int(pid) != os.getpid(), threads) == (True, "2")


def test_the_first_crash_stops_the_rest_if_asked(tmp_path):
    crashes = tmp_path / "logs"
    crashes.mkdir()
    graph = graph_of(tmp_path, [("a", "raise", 0), ("b", "touch", 0)])
    plugins.execute(graph, RunConfig(stop_on_first_crash=True), crashes=crashes)
    assert not (tmp_path / "b").exists()


def test_twenty_nodes_cost_little(tmp_path):
    graph = graph_of(tmp_path, [(f"n{i}", "touch", 0) for i in range(20)])
    plugins.execute(graph, RunConfig(nprocs=1), crashes=tmp_path)
    start = time.perf_counter()
    graph = graph_of(tmp_path / "again", [(f"n{i}", "touch", 0) for i in range(20)])
    (tmp_path / "again").mkdir()
    plugins.execute(graph, RunConfig(nprocs=1), crashes=tmp_path)
    assert time.perf_counter() - start < 5


def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal
        from bidsclf.workflows.plugins import _Workers
        if __name__ == "__main__":
            workers = _Workers(1)
            pid = workers._start().submit(os.getpid).result()
            print(pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    )
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60
    )
    worker = int(run.stdout)
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(worker, 9)
    pytest.fail("the worker lives on without its parent")


def test_telemetry_is_off():
    code = "import os, bidsclf.workflows.plugins; print(os.environ['NIPYPE_NO_ET'])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "1\n"


@pytest.mark.parametrize(
    "text",
    [
        "plugin: MultiProc\nplugin_args: {n_procs: 3, memory_gb: 5}",
        '{"plugin": "MultiProc", "plugin_args": {"n_procs": 3, "memory_gb": 5}}',
    ],
)
def test_a_plugin_file_is_yaml_or_json(tmp_path, text):
    path = tmp_path / "plugin.yml"
    path.write_text(text)
    name, arguments = plugins.choose(RunConfig(nipype_plugin_file=path))
    assert (name, arguments["n_procs"], arguments["memory_gb"]) == ("Sturdy", 3, 5)


def test_the_default_follows_nprocs():
    assert plugins.choose(RunConfig())[0] == "Linear"
    name, arguments = plugins.choose(RunConfig(nprocs=4, mem_gb=2.5))
    assert (name, arguments["n_procs"], arguments["memory_gb"]) == ("Sturdy", 4, 2.5)


def test_a_cluster_is_passed_on(tmp_path):
    path = tmp_path / "p.json"
    path.write_text('{"plugin": "SLURM", "plugin_args": {"sbatch_args": "-c 1"}}')
    assert plugins.choose(RunConfig(nipype_plugin_file=path)) == (
        "SLURM",
        {"sbatch_args": "-c 1"},
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plugin: Dask", "plugin is 'Dask'.*MultiProc"),
        ("[1", "plugin_args"),
        ("- a", "plugin is None"),
        ("plugin: SLURM\nplugin_args: [a]", "plugin_args is .*a table"),
    ],
)
def test_a_bad_plugin_file_teaches(tmp_path, text, message):
    path = tmp_path / "plugin.yml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        plugins.choose(RunConfig(nipype_plugin_file=path))
    with pytest.raises(ConfigError, match="No such file"):
        plugins.choose(RunConfig(nipype_plugin_file=tmp_path / "none.yml"))
