"""Images on the grid they came with, beside resized ones: chosen by a word."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bidsclf.cohort import build_cohort, source_of
from bidsclf.config import AnalysisConfig, CohortConfig, Config, FoldConfig
from bidsclf.errors import ConfigError
from bidsclf.files import store
from bidsclf.workflows.group import run_group
from bidsclf.workflows.predict import run_predict

pytestmark = pytest.mark.filterwarnings("ignore:.*utcnow:DeprecationWarning")
N, SHAPES = 12, {0: (8, 9, 8), 8: (8, 8, 8)}
OWN = CohortConfig(volume_size=0)
SMALL = ("width=4", "n_steps=2", "n_epochs=1", "batch_size=8")


def add(out, number):
    """Both images of one person, as two runs of bidsclf-data matfile leave them."""
    folder = out / f"sub-{number:02d}" / "func"
    folder.mkdir(parents=True)
    for size, shape in SHAPES.items():
        values = np.random.default_rng(number).normal(size=(*shape, 5))
        values[:4] += number % 2
        name = f"sub-{number:02d}_task-rest_space-individual_desc-matgrid{size}_bold"
        image = nib.Nifti1Image(values.astype(np.float32), np.eye(4))
        nib.save(image, folder / f"{name}.nii.gz")
        said = {"Strategy": "none", "GridSize": shape}
        (folder / f"{name}.json").write_text(json.dumps(said))


@pytest.fixture
def study(tmp_path):
    out = tmp_path / "study"
    table = {
        "participant_id": [f"sub-{number:02d}" for number in range(N)],
        "diagnosis": ["control", "autism"] * (N // 2),
        "site": ["NYU"] * 8 + ["KKI"] * (N - 8),
    }
    for number in range(N):
        add(out, number)
    pd.DataFrame(table).to_csv(out / "participants.tsv", sep="\t", index=False)
    made = {"Name": "x", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    store.write_json(
        out / "dataset_description.json", made | {"GeneratedBy": [{"Name": "bidsclf"}]}
    )
    return out


def test_people_outside_the_study_are_read_on_its_grid(study):
    config = replace(OWN, include="site == 'NYU'", source="site == 'KKI'")
    cohort = build_cohort(study, config)
    found = source_of(study, config, cohort, ("volume",))
    assert found.load("volume").shapes == [(5, *SHAPES[0])] * 4


def test_a_model_reads_new_people_on_the_grid_it_was_fitted_on(study, tmp_path):
    config = Config(
        bids_dir=study,
        output_dir=study,
        level="group",
        cohort=OWN,
        folds=FoldConfig(n_folds=2),
        analysis=AnalysisConfig(
            models=("cnn3d",),
            settings=tuple(f"cnn3d:{one}" for one in SMALL),
            n_bootstrap=100,
            device="cpu",
            analysis_id="own",
        ),
    )
    with pytest.raises(ConfigError, match=r"2 kinds: 8, own; .*with --volume-size"):
        run_group(replace(config, cohort=CohortConfig()))
    assert run_group(config) == 0
    model = study / "derivatives" / "own" / "models" / "cnn3d" / "final"
    feature = store.read_json(model / "model.json")["context"]["feature"]
    assert (feature["grid"], feature["shape"]) == ("0", [None, *SHAPES[0]])
    new = tmp_path / "new"
    add(new, 77)
    asked = replace(
        config, level="predict", bids_dir=new, output_dir=new, model=model,
        cohort=CohortConfig(),
    )  # fmt: skip
    assert run_predict(asked) == 0
    assert len(store.read_table(next(new.rglob("predictions.tsv")))) == 1
