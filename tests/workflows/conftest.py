"""A small seam 1: people whose first edges tell the diagnosis."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bidsclf.features.connectivity import matrices
from bidsclf.files import derivatives, store

REGIONS = tuple(f"region{i}" for i in range(6))


def series_of(rng, *, is_patient: bool, n_volumes: int = 60) -> np.ndarray:
    """Return noise whose first two regions go together in patients."""
    series = rng.normal(size=(n_volumes, len(REGIONS)))
    if is_patient:
        series[:, 1] += 1.5 * series[:, 0]
    return ((series - series.mean(0)) / series.std(0)).astype(np.float32)


def make_people(
    out: Path,
    labels: list[str],
    *,
    seed: int = 0,
    regions: tuple[str, ...] = REGIONS,
    name: str = "",
    spread: int = 1,
) -> pd.DataFrame:
    """Write features and participants.tsv of controls and patients in turn.

    Each seed is a study of its own, unless it has a name. Scans have 60 volumes, or
    ``spread`` lengths from there up.
    """
    rng, rows = np.random.default_rng(seed), []
    for number, label in enumerate(labels):
        is_patient = number % 2 == 1
        n_volumes = 60 + number % spread
        series = series_of(rng, is_patient=is_patient, n_volumes=n_volumes)
        atlas = derivatives.AtlasOutput(
            atlas="toy",
            regions=regions,
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
    roots = derivatives.Roots(name=name or f"Study {seed}", participants=people)
    derivatives.write_roots(out, roots)
    return people


@pytest.fixture(scope="session")
def write_people():
    """The function that writes people: ``write_people(out, labels, seed=0)``."""
    return make_people


@pytest.fixture(scope="session")
def seam(tmp_path_factory) -> Path:
    """Forty people, twenty of them patients; for reading only."""
    out = tmp_path_factory.mktemp("seam")
    make_people(out, [f"{n:02d}" for n in range(40)])
    return out


@pytest.fixture
def people(seam, tmp_path) -> Path:
    """A copy of ``seam`` to write to."""
    return Path(shutil.copytree(seam, tmp_path / "out"))


def write_scan(root: Path, label: str, *, n_volumes: int = 60, seed: int = 0) -> Path:
    """Write one tiny run as fMRIPrep does, and return its image."""
    rng = np.random.default_rng(seed)
    folder = root / f"sub-{label}" / "func"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{label}_task-rest"
    image = folder / f"{stem}_space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    volumes = rng.normal(1000, 20, size=(6, 6, 6, n_volumes)).astype(np.float32)
    bold = nib.Nifti1Image(volumes, affine)
    bold.header.set_zooms((4, 4, 4, 2))
    bold.to_filename(image)
    store.write_json(
        image.with_name(image.name.replace(".nii.gz", ".json")),
        {"RepetitionTime": 2.0, "TaskName": "rest", "SkullStripped": False},
    )
    mask = nib.Nifti1Image(np.ones((6, 6, 6), np.uint8), affine)
    mask.to_filename(str(image).replace("preproc_bold", "brain_mask"))
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    names += ["csf", "white_matter", "framewise_displacement"]
    names += [f"cosine0{i}" for i in range(2)]
    names += [f"{n}_derivative1" for n in names[:6]]
    table = pd.DataFrame(rng.normal(size=(n_volumes, len(names))), columns=names)
    table["framewise_displacement"] = table["framewise_displacement"].abs() / 10
    for square in [n for n in names if n.startswith(("trans", "rot"))]:
        table[f"{square}_power2"] = table[square] ** 2
    for square in ("csf", "white_matter"):
        table[f"{square}_power2"] = table[square] ** 2
    table.to_csv(
        folder / f"{stem}_desc-confounds_timeseries.tsv",
        sep="\t",
        index=False,
        na_rep="n/a",
    )
    store.write_json(folder / f"{stem}_desc-confounds_timeseries.json", {})
    return image


@pytest.fixture(scope="session")
def fmriprep(tmp_path_factory) -> Path:
    """Three people, one tiny run each, and an atlas of eight cubes; only to read."""
    root = tmp_path_factory.mktemp("study") / "fmriprep"
    root.mkdir()
    store.write_json(
        root / "dataset_description.json",
        {
            "Name": "Tiny",
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "fMRIPrep", "Version": "24.1.1"}],
        },
    )
    for number, label in enumerate(("01", "02", "03")):
        write_scan(root, label, seed=number)
    cubes = np.arange(6) // 3
    labels = 1 + cubes[:, None, None] * 4 + cubes[:, None] * 2 + cubes
    image = nib.Nifti1Image(labels.astype(np.uint8), np.diag([4.0, 4.0, 4.0, 1.0]))
    image.to_filename(root.parent / "cubes.nii.gz")
    names = pd.DataFrame({"index": range(1, 9), "name": [f"cube{i}" for i in range(8)]})
    names.to_csv(root.parent / "cubes.tsv", sep="\t", index=False)
    return root
