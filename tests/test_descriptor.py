"""descriptor.json and the command line are one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bidsclf.arguments import descriptor, parse, parser
from bidsclf.arguments.table import every

DESCRIPTOR = Path(__file__).parents[1] / "descriptor.json"
BOSH = Path(sys.executable).with_name("bosh")


def bosh(*words) -> subprocess.CompletedProcess[str]:
    if not BOSH.exists():
        pytest.skip(f"no {BOSH}; install the test extra")
    return subprocess.run(
        [BOSH, *map(str, words)], capture_output=True, text=True, check=False
    )


def test_the_file_is_what_the_parser_gives():
    written = json.loads(DESCRIPTOR.read_text(encoding="utf-8"))
    assert written == descriptor(), "run: make descriptor"


def test_every_option_is_in_it():
    flags = {each.get("command-line-flag") for each in descriptor()["inputs"]}
    assert {option.name for option in every()} <= flags


def test_boutiques_finds_it_valid():
    answer = bosh("validate", DESCRIPTOR)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_boutiques_makes_a_command_that_the_parser_reads(tmp_path):
    asked = {
        "bids_dir": "/data", "output_dir": "/out", "level": "group",
        "models": ["fc-svm", "meanmlp"], "n_folds": 5, "cv": "kfold", "force": True,
        "dummy_scans": "auto", "mem": "8G",
    }  # fmt: skip
    invocation = tmp_path / "invocation.json"
    invocation.write_text(json.dumps(asked))
    answer = bosh("exec", "simulate", DESCRIPTOR, "-i", invocation)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    words = answer.stdout.splitlines()[-1].split()
    given = vars(parse(words[1:]))
    assert words[0] == "run.py"
    assert given["analysis.models"] == ["fc-svm", "meanmlp"]
    assert (given["level"], given["folds.n_folds"]) == ("group", "5")
    assert given["unknown"] == []


def test_a_number_out_of_bounds_is_refused_by_the_platform(tmp_path):
    asked = {"bids_dir": "/data", "output_dir": "/out", "level": "group", "n_folds": 1}
    invocation = tmp_path / "invocation.json"
    invocation.write_text(json.dumps(asked))
    answer = bosh("exec", "simulate", DESCRIPTOR, "-i", invocation)
    assert answer.returncode != 0


def test_the_parser_has_no_option_that_the_table_lacks():
    flags = {flag for option in every() for flag in option.flags}
    others = {"-h", "--help", "--version", "--config-file", "--config_file"}
    assert {f for a in parser()._actions for f in a.option_strings} == flags | others
