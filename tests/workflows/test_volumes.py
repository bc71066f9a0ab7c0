"""A study of images alone, from the cohort to predictions for new people."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bidsclf.checks import to_plain
from bidsclf.cohort import build_cohort
from bidsclf.config import AnalysisConfig, CohortConfig, Config, FoldConfig, RunConfig
from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.folds import Fold, whole
from bidsclf.models._chunks import CACHE, FILE
from bidsclf.workflows import _fits, _preflight, _shared
from bidsclf.workflows._jobs import cache_of, plan
from bidsclf.workflows.group import run_group
from bidsclf.workflows.predict import run_predict

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")
N = 16
SMALL = (
    "width=4", "n_steps=4", "n_epochs=2", "batch_size=8", "n_hidden=4"
)  # fmt: skip


def add(out, label, y, size=8):
    folder = out / f"sub-{label}" / "func"
    folder.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(int(label)).normal(size=(size, size, size, 5))
    values[:4] += y
    stem = f"sub-{label}_task-rest_space-MNI_desc-simplegrid{size}_bold"
    affine = np.diag([20.0, 20.0, 20.0, 1.0])
    nib.save(
        nib.Nifti1Image(values.astype(np.float32), affine), folder / f"{stem}.nii.gz"
    )
    said = {"Strategy": "simple", "RepetitionTime": 2.0, "GridSize": [size] * 3}
    (folder / f"{stem}.json").write_text(json.dumps(said))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    y = np.tile([0, 1], N // 2)
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{at:02d}" for at in range(N)],
            "diagnosis": np.where(y, "autism", "control"),
            "site": "NYU",
        }
    )
    table.to_csv(out / "participants.tsv", sep="\t", index=False)
    for at in range(N):
        add(out, f"{at:02d}", y[at])
    store.write_json(
        out / "dataset_description.json",
        {
            "Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "bidsclf"}],
        },
    )  # fmt: skip
    return out


def config_of(out, level="group", **more):
    analysis = AnalysisConfig(
        models=("cnn3d",),
        settings=tuple(f"cnn3d:{one}" for one in SMALL if "hidden" not in one),
        n_bootstrap=100,
        device="cpu",
        analysis_id="images",
    )
    fields = {
        "bids_dir": out,
        "output_dir": out,
        "level": level,
        "folds": FoldConfig(n_folds=2),
        "analysis": analysis,
    }
    return Config(**(fields | more))


def test_images_alone_are_learned_from_and_predicted(study, tmp_path):
    work = tmp_path / "work"
    config = config_of(study, run=RunConfig(work_dir=work, mem_gb=1.1))
    assert run_group(config) == 0
    analysis = study / "derivatives" / "images"
    assert len(store.read_table(analysis / "predictions.tsv")) == N
    stored = list(work.rglob(FILE))
    assert len(stored) == 1
    model = analysis / "models" / "cnn3d" / "final"
    described = store.read_json(model / "model.json")["context"]
    assert described["feature"]["shape"] == [None, 8, 8, 8]
    assert all(len(one["digest"]) == 64 for one in described["training"])
    new = tmp_path / "new"
    add(new, "77", 1)
    add(new, "78", 0, size=8)
    asked = config_of(study, "predict", bids_dir=new, output_dir=new, model=model)
    assert run_predict(asked) == 0
    told = store.read_table(next(new.rglob("predictions.tsv")), text=["participant_id"])
    assert told["participant_id"].tolist() == ["sub-77", "sub-78"]
    assert told["score"].between(0, 1).all()
    other = tmp_path / "other"
    add(other, "79", 1, size=9)
    asked = config_of(study, "predict", bids_dir=other, output_dir=other, model=model)
    with pytest.raises(InputError, match=r"shape \[None, 8, 8, 8\] against \[None, 9"):
        run_predict(
            Config(**{f: getattr(asked, f) for f in asked.__dataclass_fields__}
                   | {"cohort": CohortConfig(volume_size=9)})
        )  # fmt: skip


def copied(study, tmp_path):
    """Return a copy of the study to write to, and what is asked of it."""
    results = shutil.ignore_patterns("derivatives", "logs")
    out = Path(shutil.copytree(study, tmp_path / "out", ignore=results))
    return out, config_of(out)


def test_someone_without_an_image_is_left_out_and_named(study, tmp_path):
    out, config = copied(study, tmp_path)
    label = f"sub-{N - 1:02d}"
    (image,) = out.rglob(f"{label}*_bold.nii.gz")
    series = image.name.split("_desc")[0] + "_atlas-toy_stat-mean_desc-simple"
    table = image.with_name(f"{series}_timeseries.tsv")
    store.write_series(table, np.random.default_rng(0).normal(size=(9, 2)), ("a", "b"))
    store.write_json(table.with_suffix(".json"), {"Strategy": "simple"})
    image.unlink()
    assert run_group(config) == 0
    analysis = out / "derivatives" / "images"
    assert len(store.read_table(analysis / "predictions.tsv")) == N - 1
    told = store.read_table(analysis / "cohort.tsv").set_index("participant_id")
    assert told.loc[label, "reason"] == "no scan with volume"


def test_scans_that_change_while_models_are_fitted_are_noticed(study, tmp_path):
    out, config = copied(study, tmp_path)
    work = tmp_path / "work"
    cohort = build_cohort(out, config.cohort, ["volume"])
    everyone = whole(cohort.people, config.folds)
    _shared.share(work, out, cohort, [everyone], config)
    settings = to_plain(config.cohort)
    assert _fits.prepare(work, out, settings, "cnn3d")
    add(out, "00", 1)  # the same people, and another image of the first
    with pytest.raises(InputError, match="changed while the models were fitted"):
        _fits.prepare(work, out, settings, "cnn3d")


def test_images_whose_repetition_times_differ_are_noted(study, tmp_path):
    out, config = copied(study, tmp_path)
    analysis = AnalysisConfig(models=("cnn3d", "cnn3d-gru"))
    config = replace(config, analysis=analysis)
    for at in range(N):
        (path,) = out.rglob(f"sub-{at:02d}*_bold.json")
        said = store.read_json(path)
        store.write_json(path, said | {"RepetitionTime": 1 + at // 2})
    (note,) = [
        one
        for one in _preflight.notes(config, build_cohort(out, config.cohort))
        if "see the order" in one
    ]
    assert note.startswith("cnn3d-gru see the order")  # cnn3d takes a mean over time
    assert "8 repetition times: 2 of 1 s, 2 of 2 s" in note
    assert note.count(" of ") < 12  # the first six, not all
    assert "--resample-tr" not in note  # it acts on series alone


def test_scans_with_too_few_volumes_are_refused_before_any_fit_by_name(study):
    config = config_of(
        study,
        analysis=AnalysisConfig(
            models=("cnn3d", "cnnlstm"),
            settings=("cnn3d:n_steps=6",),
            analysis_id="short",
        ),
    )
    with pytest.raises(InputError, match=r"cnn3d: 16 of 16 .* fewer than the 6 "):
        run_group(config)
    assert not (study / "derivatives/short").exists()


def test_memory_is_shared_by_processes_at_once(tmp_path):
    config = config_of(tmp_path, run=RunConfig(mem_gb=8, nprocs=2))
    fold = Fold(1, 1, np.arange(4), np.arange(0), np.arange(4, 6))
    jobs = plan(config, [fold, fold], is_screened=False)
    assert [job.cache for job in jobs] == [3 * 10**9] * 3
    assert cache_of(RunConfig()) == CACHE
    assert cache_of(RunConfig(mem_gb=0.5)) == 2**26
