"""A small seam 1: people whose first edges tell the diagnosis."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bidsclf.features.connectivity import matrices
from bidsclf.files import derivatives

REGIONS = tuple(f"region{i}" for i in range(6))


def series_of(rng, *, is_patient: bool, n_volumes: int = 60) -> np.ndarray:
    """Return noise whose first two regions go together in patients."""
    series = rng.normal(size=(n_volumes, len(REGIONS)))
    if is_patient:
        series[:, 1] += 1.5 * series[:, 0]
    return ((series - series.mean(0)) / series.std(0)).astype(np.float32)


def write_people(out: Path, labels: list[str], *, seed: int = 0) -> pd.DataFrame:
    """Write features and participants.tsv of 0-9 controls and patients in turn."""
    rng, rows = np.random.default_rng(seed), []
    for number, label in enumerate(labels):
        is_patient = number % 2 == 1
        series = series_of(rng, is_patient=is_patient)
        atlas = derivatives.AtlasOutput(
            atlas="toy",
            regions=REGIONS,
            series=series,
            matrices=matrices(series),
            digest="d" * 64,
        )
        scan = derivatives.ScanOutput(
            entities={"sub": label, "task": "rest"},
            space="MNI",
            desc="simple",
            tr_s=2.0,
            atlases=(atlas,),
            quality={"mean_fd": rng.uniform(0.05, 0.3), "n_volumes": 60, "n_kept": 60},
            meta={"Strategy": "simple"},
        )
        derivatives.write_features(out, scan)
        rows.append(
            {
                "participant_id": f"sub-{label}",
                "diagnosis": "autism" if is_patient else "control",
                "site": "AB"[number // 2 % 2],
                "age": 20 + rng.integers(20),
                "sex": "MF"[rng.integers(2)],
            }
        )
    people = pd.DataFrame(rows)
    derivatives.write_roots(out, derivatives.Roots(participants=people))
    return people


@pytest.fixture(scope="session")
def seam(tmp_path_factory) -> Path:
    """Forty people, twenty of them patients; for reading only."""
    out = tmp_path_factory.mktemp("seam")
    write_people(out, [f"{n:02d}" for n in range(40)])
    return out


@pytest.fixture
def people(seam, tmp_path) -> Path:
    """A copy of ``seam`` to write to."""
    import shutil

    return Path(shutil.copytree(seam, tmp_path / "out"))
