"""The log of a conversion: a table of everyone, and a few reasons on the terminal."""

import pandas as pd
import pytest

from bidsclf.files import store
from bidsclf.sources._units import QUOTED, report


@pytest.mark.parametrize("n_failed", [0, QUOTED, QUOTED + 3])
def test_the_first_failures_are_quoted_and_the_others_counted(
    tmp_path, caplog, n_failed
):
    states = ["done", "left out"] + ["failed"] * n_failed
    log = pd.DataFrame(
        {
            "participant_id": [f"sub-{at}" for at in range(len(states))],
            "state": states,
            "reason": ["", *(f"why {at}" for at in range(1, len(states)))],
        }
    )
    path = tmp_path / "log.tsv"
    code = report(path, log, title="toy", noun="files")
    assert code == (4 if n_failed else 0)
    assert f"1 files done, 1 left out, {n_failed} failed" in caplog.text
    assert caplog.text.count("why") == min(n_failed, QUOTED)
    assert ("and 3 more" in caplog.text) is (n_failed > QUOTED)
    assert store.read_table(path)["state"].value_counts().get("failed", 0) == n_failed
