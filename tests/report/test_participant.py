"""The page of a participant: every run, its failures, and what is not covered."""

import numpy as np
import pandas as pd

from bidsclf.files.derivatives import (
    AtlasOutput,
    ScanOutput,
    VolumeOutput,
    write_features,
)
from bidsclf.files.status import UnitStatus, write_status
from bidsclf.report.participant import participant_page

REGIONS = ("left", "right", "far <away>")


def write_scan(out, *, volume=None, atlases=None, **entities):
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
        atlases=(atlas,) if atlases is None else atlases,
        volume=volume,
        meta={
            "NumberOfVolumesKept": 8,
            "DummyScans": 1,
            "FDThreshold": 0.5,
            "Notes": ["the mask is tight"],
        },
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


def test_volumes_stand_with_the_scan_they_are_of(tmp_path):
    grid = VolumeOutput(
        values=np.random.default_rng(0).normal(1, 0.1, (6, 6, 6, 4)).astype("f4"),
        affine=np.array(
            [[4, 0, 0, -8], [0, 5, 0, -10], [0, 0, 6, -12], [0, 0, 0, 1.0]]
        ),
        box_mm=np.zeros((2, 3)),
        taken=np.array([1, 3, 5, 7]),
        fields={"VolumePick": "even", "VolumeStandardization": "divided <by>"},
    )
    write_scan(tmp_path, volume=grid)
    text = participant_page(tmp_path, "sub-01").read_text(encoding="utf-8")
    assert "1 scan read" in text
    assert "simplegrid6" not in text.partition("<h3>Volumes, 6 by 6 by 6</h3>")[0]
    assert "4 of the 8 volumes that are kept, evenly spaced; cells of 4.0 by" in text
    assert "divided &lt;by&gt;." in text
    assert "z 12 mm" in text
    assert "Framewise displacement over the scan" in text


def test_volumes_alone_make_a_page(tmp_path):
    taken = {"values": np.ones((4, 4, 4, 1), "f4"), "taken": np.array([3])}
    grid = VolumeOutput(affine=np.eye(4), box_mm=np.zeros((2, 3)), **taken)
    write_scan(tmp_path, volume=grid, atlases=())
    text = participant_page(tmp_path, "sub-01").read_text(encoding="utf-8")
    assert "All: 1 volume that is kept" in text
    assert "1 of 10 volumes censored; 1 dropped at the start" in text
    assert "standard deviation" not in text


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
