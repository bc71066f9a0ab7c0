"""The page of a participant: every run, its failures, and what is not covered."""

import numpy as np
import pandas as pd

from bidsclf.files.derivatives import AtlasOutput, ScanOutput, write_features
from bidsclf.files.status import UnitStatus, write_status
from bidsclf.report.participant import participant_page

REGIONS = ("left", "right", "far <away>")


def write_scan(out, **entities):
    series = np.random.default_rng(0).normal(size=(8, 3))
    series[:, 2] = np.nan
    pearson = np.corrcoef(series.T)
    atlas = AtlasOutput(
        atlas="toy",
        regions=REGIONS,
        series=series,
        matrices={"pearsoncorrelation": pearson},
        coverage=np.array([1.0, 0.9, 0.0]),
    )
    kept = np.array([0, 1, 1, 1, 0, 1, 1, 1, 1, 1])
    motion = pd.DataFrame(
        {
            "volume": np.arange(10),
            "framewise_displacement": [np.nan, *np.full(9, 0.2)],
            "dvars": np.nan,
            "kept": kept,
        }
    )
    scan = ScanOutput(
        entities={"sub": "01", "task": "rest"} | entities,
        space="MNI152NLin6Asym",
        desc="simple",
        tr_s=2.0,
        atlases=(atlas,),
        meta={"DummyScans": 1, "FDThreshold": 0.5, "Notes": ["the mask is tight"]},
        quality={"n_volumes": 10, "n_kept": 8, "mean_fd": 0.2, "tsnr": None},
        motion=motion,
    )
    return write_features(out, scan)


def test_every_run_has_its_part(tmp_path):
    write_scan(tmp_path, run="1")
    write_scan(tmp_path, run="2")
    text = participant_page(tmp_path, "sub-01").read_text(encoding="utf-8")
    assert "2 scans read" in text
    assert "run 1" in text
    assert "run 2" in text
    assert "1 of 10 volumes censored; 1 dropped at the start" in text
    assert "3 regions; n/a: 1." in text
    assert "the mask is tight" in text
    assert "far &lt;away&gt;" in text


def test_a_failed_run_stands_on_the_page_of_its_own_person(tmp_path):
    write_scan(tmp_path, run="1")
    for unit in ("sub-01_task-rest_run-2", "sub-011_task-rest"):
        status = UnitStatus(unit=unit, state="failed", message=f"<{unit}> is truncated")
        write_status(tmp_path, status)
    text = participant_page(tmp_path, "sub-01").read_text(encoding="utf-8")
    assert "&lt;sub-01_task-rest_run-2&gt; is truncated" in text
    assert "sub-011" not in text


def test_a_person_whose_every_run_failed_has_a_page(tmp_path):
    status = UnitStatus(unit="sub-01_task-rest", state="failed", message="no table")
    write_status(tmp_path, status)
    text = participant_page(tmp_path, "sub-01").read_text(encoding="utf-8")
    assert "0 scans read" in text
    assert "no table" in text
