"""A scan: to JSON and back, and the unit of its repetition time."""

import json
from pathlib import Path

import pytest

from bidsclf.errors import InputError
from bidsclf.scan import MAX_TR_S, Scan


def scan(tr_s: float) -> Scan:
    return Scan(
        entities={"sub": "1", "task": "rest"},
        bold=Path("sub-1_task-rest_bold.nii.gz"),
        mask=None,
        confounds=Path("confounds.tsv"),
        space="MNI152NLin2009cAsym",
        tr_s=tr_s,
        dataset=Path("derivatives"),
    )


def test_to_json_and_back():
    one = scan(0.8)
    assert Scan.from_dict(json.loads(json.dumps(one.to_dict()))) == one


@pytest.mark.parametrize("tr_s", [2000.0, MAX_TR_S, 0.0, -1.0, float("nan")])
def test_a_repetition_time_that_is_not_in_seconds_is_refused(tr_s):
    with pytest.raises(InputError, match=r"rest_bold\.json: RepetitionTime is") as told:
        scan(tr_s)
    assert ("Milliseconds?" in str(told.value)) == (tr_s >= MAX_TR_S)
