"""Numbers of a scan's quality."""

import numpy as np
import pytest

from bidsclf.features._denoise import Confounds
from bidsclf.features.quality import COLUMNS, summarize


def confounds(fd: list[float], kept: list[int]) -> Confounds:
    return Confounds(
        strategy="test",
        regressors=None,
        sample_mask=np.array(kept),
        n_volumes=len(fd),
        columns=(),
        fd=np.array(fd),
        dvars=np.full(len(fd), np.nan),
        dummy_scans=1,
    )


def test_known_numbers():
    measured = summarize(confounds([np.nan, 0.1, 0.5], [1, 2]), tr_s=0.8, tsnr=41.5)
    assert measured == {
        "mean_fd": pytest.approx(0.3),
        "max_fd": 0.5,
        "n_volumes": 3,
        "n_kept": 2,
        "dummy_scans": 1,
        "seconds_kept": 1.6,
        "tr_s": 0.8,
        "tsnr": 41.5,
        "mean_dvars": None,
    }


def test_every_number_is_described():
    measured = summarize(confounds([np.nan] * 3, [1, 2]), tr_s=2.0, tsnr=None)
    assert list(measured) == list(COLUMNS)
    assert measured["mean_fd"] is None
