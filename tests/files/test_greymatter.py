"""Grey-matter maps in seam 1: found again, told apart, and valid BIDS."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidsclf.errors import InputError
from bidsclf.files import store
from bidsclf.files.derivatives import Roots, find_features, write_roots
from bidsclf.files.greymatter import GreyOutput, write_map

AFFINE = np.array(
    [[3.0, 0, 0, -94.5], [0, 3, 0, -111.5], [0, 0, 3, -89.5], [0, 0, 0, 1]]
)


def grey(**changed):
    fields = {
        "entities": {"sub": "01", "ses": "a", "acq": "mp2rage", "run": "1"},
        "space": "MNI152NLin2009cAsym",
        "pipeline": "fmriprep",
        "values": np.random.default_rng(0).uniform(size=(8, 8, 8)).astype("f4"),
        "affine": AFFINE,
        "box_mm": np.array([[-96, -113, -91], [96, 79, 101]]),
        "is_modulated": False,
        "fwhm_mm": 4.0,
        "sources": ("bids:fmriprep:sub-01/ses-a/anat/x.nii.gz",),
        "meta": {"PipelineVersions": {"bidsclf": "1"}},
    }
    return GreyOutput(**fields | changed)


def test_what_is_written_is_found_again(tmp_path):
    one = grey()
    path, sidecar = write_map(tmp_path, one)
    assert path.name == (
        "sub-01_ses-a_acq-mp2rage_run-1_space-MNI152NLin2009cAsym_label-GM_desc-iso8"
        "_probseg.nii.gz"
    )
    image = nib.load(path)
    np.testing.assert_array_equal(image.get_fdata(), one.values)
    np.testing.assert_allclose(image.affine, AFFINE)
    assert image.get_data_dtype() == np.float32
    said = store.read_json(sidecar)
    assert said["GMSmoothingFWHM"] == 4
    assert said["Resolution"].startswith("8 cells of 3 x 3 x 3 mm")
    (row,) = find_features(tmp_path).to_dict("records")
    assert (row["suffix"], row["label"], row["desc"]) == ("probseg", "GM", "iso8")
    assert (row["participant_id"], row["session"]) == ("sub-01", "a")


def test_each_pipeline_and_grid_has_files_of_its_own(tmp_path):
    write_map(tmp_path, grey())
    write_map(tmp_path, grey(pipeline="cat12", is_modulated=True))
    write_map(tmp_path, grey(pipeline="vbm", is_modulated=True))
    write_map(tmp_path, grey(values=np.zeros((9, 9, 9), np.float32)))
    found = sorted(find_features(tmp_path)["desc"])
    assert found == ["cat12iso8", "iso8", "iso9", "vbmiso8"]


def test_no_cube_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"shape \(8, 8, 9\); a cube"):
        write_map(tmp_path, grey(values=np.zeros((8, 8, 9))))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("pipeline", ["fmriprep", "cat12"])
def test_the_official_validator_finds_no_error(tmp_path, pipeline):
    sources = (f"bids:{pipeline}:sub-01/x.nii", "file:///elsewhere/mwrc10010001.nii")
    write_map(tmp_path, grey(pipeline=pipeline, res="1", sources=sources))
    links = {pipeline: "file:///data/maps"}
    said = {"iso8": "Grey-matter maps."}
    write_roots(tmp_path, Roots(name="maps", links=links, descriptions=said))
    command = [Path(sys.executable).with_name("bids-validator-deno"), tmp_path]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
