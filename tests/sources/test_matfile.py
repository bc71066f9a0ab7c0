"""MATLAB v7.3 files to volumes: axes, filling, names, and files that fail alone."""

import argparse
import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.arguments import parse, to_config
from bidsclf.cohort import build_cohort
from bidsclf.config import CohortConfig
from bidsclf.errors import BidsclfError, ConfigError, InputError, NothingMatched
from bidsclf.files import derivatives, store
from bidsclf.sources import _mat_people, matfile
from bidsclf.sources._fill import fill_missing
from bidsclf.sources._mat_file import peek, read_volumes

SHAPE, N_VOLUMES = (6, 7, 5), 8
LOG = "matfile_space-individual_desc-matgrid0.tsv"
LABELS = ("--labels", "1=autism", "2=control")


def scan(seed: int, shape: tuple[int, ...] = SHAPE, n: int = N_VOLUMES) -> np.ndarray:
    """A scan as MATLAB holds it: (X, Y, Z, T)."""
    return 100 + np.random.default_rng(seed).normal(0, 5, (*shape, n))


def mask_of(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """A brain that differs along every axis, so that a swapped one is seen."""
    mask = np.zeros(shape, bool)
    mask[1:5, 1:, :4] = True
    mask[1, 1, 0] = False
    return mask


def write_mat(path: Path, orig: np.ndarray, **members: object) -> Path:
    """Write as MATLAB's save -v7.3 does: a 512-byte start, axes reversed in HDF5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    given = {"mask": mask_of().astype(np.uint8), "dx": np.array([[1.0]])} | members
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("fMRIdata")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        for name, value in {"orig": orig, **given}.items():
            if value is not None:
                group.create_dataset(name, data=np.asarray(value).T)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116))
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two sites of three people; dx alternates."""
    place = tmp_path / "mats"
    for number in range(6):
        site, dx = ("NYU", "KKI")[number // 3], [[1.0 + number % 2]]
        write_mat(place / site / f"sub-{number:03d}.mat", scan(number), dx=dx)
    return place


SITES = ("--pattern", r"(?P<site>\w+)/(?P<subject>[^/]+)\.mat$")


def converted(folder: Path, out: Path, *options: str) -> int:
    parser = argparse.ArgumentParser()
    matfile.add_arguments(parser)
    words = [str(folder), str(out), "--nprocs=1", *LABELS, *options]
    return matfile.run(parser.parse_args(words))


def log_of(out: Path) -> pd.DataFrame:
    (path,) = (out / "logs").glob("matfile_*.tsv")
    return store.read_table(path, text=True).set_index("participant_id")


def image_of(out: Path, person: str) -> nibabel.Nifti1Image:
    (row,) = derivatives.find_features(out, person).itertuples()
    return nibabel.load(row.path)


def test_x_y_and_z_stand_where_matlab_had_them(tmp_path):
    """An independent reader of the order: element (x, y, z, t) of MATLAB's array."""
    orig = scan(0)
    path = write_mat(tmp_path / "a.mat", orig)
    assert h5py.File(path)["fMRIdata/orig"].shape == (N_VOLUMES, *SHAPE[::-1])
    seen = peek(path)
    assert (seen.shape, seen.n_volumes, seen.code) == (SHAPE, N_VOLUMES, "1")
    np.testing.assert_array_equal(seen.mask, mask_of())
    read = np.stack([*read_volumes(path)], axis=-1)
    np.testing.assert_array_equal(read, orig.astype(np.float32))


def test_chunks_of_several_volumes_are_read_as_one_is(tmp_path):
    orig = scan(1)
    path = write_mat(tmp_path / "a.mat", orig)
    with h5py.File(path, "r+") as file:
        del file["fMRIdata/orig"]
        chunks = (3, 2, 7, 6)
        file.create_dataset("fMRIdata/orig", data=orig.T, chunks=chunks, compression=4)
    read = np.stack([*read_volumes(path)], axis=-1)
    np.testing.assert_array_equal(read, orig.astype(np.float32))


@pytest.mark.parametrize(
    ("dx", "code"),
    [([[2.0]], "2"), (np.uint8([[0]]), "0"), ([[1.5]], "1.5"), (None, None)],
)
def test_dx_is_a_number_or_absent(tmp_path, dx, code):
    assert peek(write_mat(tmp_path / "a.mat", scan(0), dx=dx)).code == code


def test_dx_may_be_a_word(tmp_path):
    path = write_mat(tmp_path / "a.mat", scan(0), dx=[[*b"ASD"]])
    with h5py.File(path, "r+") as file:
        file["fMRIdata/dx"].attrs["MATLAB_class"] = np.bytes_("char")
    assert peek(path).code == "ASD"


def brute_force(volume: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The equation of normalised convolution, term by term: sigma 1, reach 4."""
    filled = np.where(mask, volume, 0)
    for at in np.argwhere(mask & ~np.isfinite(volume)):
        above = below = 0.0
        for to in np.argwhere(mask & np.isfinite(volume)):
            if np.abs(at - to).max() <= 4:
                weight = np.exp(-((at - to) ** 2).sum() / 2)
                above += weight * volume[tuple(to)]
                below += weight
        filled[tuple(at)] = above / below
    return filled


@given(seed=st.integers(0, 2**16))
def test_missing_values_are_means_of_neighbours_in_the_mask(seed):
    rng = np.random.default_rng(seed)
    volume, mask = scan(seed, n=1)[..., 0], mask_of()
    volume[~mask] = 1e6  # what lies outside the mask tells nothing
    volume[rng.random(SHAPE) < 0.2] = rng.choice([np.nan, np.inf, -np.inf])
    found = fill_missing(volume, mask)
    np.testing.assert_allclose(found, brute_force(volume, mask), rtol=1e-5)
    assert found.dtype == np.float32


def test_a_hole_beyond_the_reach_of_neighbours_is_filled_by_wider_ones():
    volume = np.full((21, 3, 3), np.nan)
    volume[0] = 7.0
    found = fill_missing(volume, np.ones(volume.shape, bool))
    np.testing.assert_allclose(found, 7, rtol=1e-6)


def test_there_must_be_something_to_fill_by():
    with pytest.raises(InputError, match="no voxel of the mask is finite"):
        fill_missing(np.full((3, 3, 3), np.nan), np.ones((3, 3, 3), bool))


def test_a_scan_is_masked_filled_and_divided_by_its_mean(tmp_path):
    orig, mask = scan(0), mask_of()
    orig[2, 2, 2, 3] = np.nan
    orig[0, 0, 0] = np.nan  # outside the mask: nothing is missing there
    write_mat(tmp_path / "in" / "a.mat", orig)
    assert converted(tmp_path / "in", tmp_path / "out", "--tr=2.5") == 0
    image = image_of(tmp_path / "out", "sub-a")
    name = "sub-a_task-rest_space-individual_desc-matgrid0_bold.nii.gz"
    assert Path(image.get_filename()).name == name
    expected = np.stack([brute_force(orig[..., t], mask) for t in range(8)], axis=-1)
    expected /= orig[mask][np.isfinite(orig[mask])].mean()
    np.testing.assert_allclose(image.get_fdata(), expected, rtol=1e-5)
    assert image.get_data_dtype() == np.float32
    assert image.header.get_zooms() == (1, 1, 1, 2.5)
    codes = [int(image.header[f"{form}_code"]) for form in ("qform", "sform")]
    assert codes == [1, 1]  # of no template
    said = json.loads(Path(image.get_filename().replace("nii.gz", "json")).read_text())
    assert said["MissingShare"] == round(1 / (mask.sum() * 8), 6)
    assert said["GridSize"] == list(SHAPE)
    assert said["RepetitionTime"] == 2.5
    assert said["Sources"] == ["bids:matfile:a.mat"]


def test_values_stay_as_they_are_where_that_is_asked(tmp_path):
    orig = scan(0) - 100  # centred: it has no mean to divide by
    write_mat(tmp_path / "in" / "a.mat", orig)
    out = tmp_path / "out"
    assert converted(tmp_path / "in", out, "--standardize=none") == 0
    found = image_of(out, "sub-a").get_fdata()
    np.testing.assert_allclose(found[mask_of()], orig[mask_of()], rtol=1e-6)
    assert converted(tmp_path / "in", out) == 4
    assert "Use --standardize none" in log_of(out).at["sub-a", "reason"]


def test_resizing_keeps_constants_and_the_box_of_the_mask(tmp_path):
    """Halves: a cell of a smooth scan is the mean of its voxels, up to the rim."""
    shape = (12, 14, 10)
    mask = np.zeros(shape, bool)
    mask[2:10, 2:10, 1:9] = True
    ramp = np.broadcast_to(np.arange(12.0)[:, None, None, None], (*shape, 3))
    orig = np.where(mask[..., None], ramp, -1e6) + np.arange(3)
    write_mat(tmp_path / "in" / "a.mat", orig, mask=mask.astype(np.uint8))
    out = tmp_path / "out"
    assert converted(tmp_path / "in", out, "--size=4", "--standardize=none") == 0
    image = image_of(out, "sub-a")
    assert image.shape == (4, 4, 4, 3)
    found = image.get_fdata()
    assert "desc-matgrid4_" in image.get_filename()
    for along in (1, 2):
        assert np.ptp(found, axis=along).max() < 1e-4
    np.testing.assert_allclose(found[1:3, 0, 0, 0], [4.5, 6.5], atol=1e-5)
    np.testing.assert_allclose(found[..., 2], found[..., 0] + 2, rtol=1e-5)
    said = json.loads(Path(image.get_filename().replace("nii.gz", "json")).read_text())
    assert said["GridBoxVoxels"] == [[2, 2, 1], [10, 10, 9]]


def test_people_come_from_paths_and_dx(folder, tmp_path):
    assert converted(folder, tmp_path / "out", *SITES) == 0
    people = store.read_table(tmp_path / "out" / "participants.tsv", text=True)
    assert people["participant_id"].tolist() == [f"sub-{n:03d}" for n in range(6)]
    assert people["diagnosis"].tolist() == ["autism", "control"] * 3
    assert people["site"].tolist() == ["NYU"] * 3 + ["KKI"] * 3
    assert (log_of(tmp_path / "out")["state"] == "done").all()


def test_people_come_from_a_table(folder, tmp_path):
    table = tmp_path / "people.csv"
    rows = [f"sub-{n:03d},{(1, 2)[n % 2]},S{n % 3},{20 + n}" for n in range(1, 7)]
    table.write_text("\n".join(["participant_id,diagnosis,site,age", *rows]) + "\n")
    out = tmp_path / "out"
    assert converted(folder, out, f"--phenotypic={table}") == 0
    people = store.read_table(out / "participants.tsv", text=True)
    assert people["site"].tolist() == ["S1", "S2", "S0", "S1", "S2"]
    assert people["age"].tolist() == ["21", "22", "23", "24", "25"]
    log = log_of(out)
    assert log.at["sub-000", "reason"] == "no row in people.csv"
    assert log.at["sub-006", "reason"] == "no file of this person"
    assert (log["state"] == "done").sum() == 5


@pytest.mark.parametrize("options", [("--voxel-size=3",), ("--size=4", "--tr=2")])
def test_the_official_validator_finds_no_error(folder, tmp_path, options):
    converted(folder, tmp_path / "out", *SITES, *options)
    command = [Path(sys.executable).with_name("bids-validator-deno"), tmp_path / "out"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_a_chunk(path: Path) -> None:
    """Overwrite a compressed block: the file opens, its data cannot be read."""
    write_mat(path, scan(0))
    with h5py.File(path, "r+") as file:
        del file["fMRIdata/orig"]
        orig = scan(0).T
        made = file.create_dataset(
            "fMRIdata/orig", data=orig, chunks=(1, *orig.shape[1:]), compression=4
        )
        at = made.id.get_chunk_info(5).byte_offset
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(64))


def missing(share: float) -> np.ndarray:
    """A scan with a share of NaN inside the mask, spread over the volumes."""
    orig, mask = scan(0), mask_of()
    inside = orig[mask].reshape(-1)
    inside[:: round(1 / share)] = np.nan
    orig[mask] = inside.reshape(-1, N_VOLUMES)
    return orig


def one_volume_gone() -> np.ndarray:
    orig = scan(0, n=40)
    orig[..., 7] = np.nan
    return orig


def old_format(path: Path) -> None:
    path.write_bytes(b"MATLAB 5.0 MAT-file, Platform: PCWIN64".ljust(2048))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (cut, "cut off or damaged"),
    "empty": (lambda p: p.write_bytes(b""), r"no MATLAB v7.3 \(HDF5\) file"),
    "old": (old_format, "-v7.3"),
    "chunk": (damage_a_chunk, "cut off or damaged"),
    "no orig": (
        lambda p: h5py.File(p, "r+")["fMRIdata"].pop("orig"),
        "no fMRIdata/orig; there are: dx, mask",
    ),
    "no mask": (lambda p: write_mat(p, scan(0), mask=None), "no fMRIdata/mask"),
    "no dx": (lambda p: write_mat(p, scan(0), dx=None), "nothing gives its diagnosis"),
    "rank": (lambda p: write_mat(p, scan(0)[..., 0]), r"has 3 axes, of .*\(6, 7, 5\)"),
    "all NaN": (lambda p: write_mat(p, scan(0) * np.nan), "100.0% of the values"),
    "5 % NaN": (lambda p: write_mat(p, missing(0.05)), r"5\.\d% .* less than 5%"),
    "gone": (lambda p: write_mat(p, one_volume_gone()), "volume 7 has no finite"),
    "constant": (lambda p: write_mat(p, 0 * scan(0)), "every value inside .* is 0"),
    "unlike mask": (
        lambda p: write_mat(p, scan(0), mask=mask_of()[:, :, :4].astype(np.uint8)),
        r"mask has the shape \(6, 7, 4\), the scan \(6, 7, 5\)",
    ),
    "turned": (
        lambda p: write_mat(p, scan(0).T, mask=mask_of().T.astype(np.uint8)),
        "the other order: MATLAB's is read",
    ),
    "no voxel": (lambda p: write_mat(p, scan(0), mask=np.zeros(SHAPE)), "no voxel"),
    "unlike others": (
        lambda p: write_mat(
            p, scan(0, (6, 6, 5)), mask=np.ones((6, 6, 5), np.uint8)
        ),
        r"its grid is \(6, 6, 5\), that of most files \(6, 7, 5\)",
    ),
    "label": (
        lambda p: write_mat(p, scan(0), dx=[[3.0]]),
        "its label is '3', which is not one of --labels 1=autism 2=control",
    ),
    "NaN label": (lambda p: write_mat(p, scan(0), dx=[[np.nan]]), r"dx is \[nan\]"),
    "complex": (lambda p: write_mat(p, scan(0) * 1j), "holds .*; real numbers"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_a_file_fails_alone_with_its_name_and_the_reason(folder, tmp_path, kind):
    spoil, reason = BAD[kind]
    spoil(folder / "NYU" / "sub-001.mat")
    out = tmp_path / "out"
    assert converted(folder, out) == 4
    log = log_of(out)
    assert log["state"].tolist() == ["done", "failed", *["done"] * 4]
    assert log.at["sub-001", "reason"].startswith("sub-001.mat: ")
    assert pd.Series([log.at["sub-001", "reason"]]).str.contains(reason).all()
    files = derivatives.find_features(out)
    assert files["participant_id"].nunique() == len(files) == 5
    assert not [*out.rglob(".partial-*")]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("--.mat", r"'--' holds no letter or digit .*Rename it"),
        ("\u00e9.mat", "holds no letter or digit"),
        (os.fsdecode(b"sub-7\xff.mat"), "its path is not text in UTF-8. Rename it"),
    ],
)
def test_a_file_whose_name_gives_no_label_fails_alone(folder, tmp_path, name, reason):
    write_mat(folder / "NYU" / name, scan(9))
    assert converted(folder, tmp_path / "out") == 4
    log = store.read_table(tmp_path / "out/logs" / LOG, text=True).set_index("state")
    assert sorted(log.index) == ["done"] * 6 + ["failed"]
    said = os.fsencode(name).decode(errors="replace")
    assert log.at["failed", "source"] == f"NYU/{said}"
    assert log.at["failed", "reason"].startswith(f"{said}: ")
    assert re.search(reason, log.at["failed", "reason"])


def test_a_session_without_a_letter_fails_alone_too(folder, tmp_path):
    write_mat(folder / "NYU" / "sub-000_ses--.mat", scan(9))
    parts = r"(?P<subject>sub-\d+)(_ses-(?P<session>.))?\.mat$"
    assert converted(folder, tmp_path / "out", "--pattern", parts) == 4
    assert (log_of(tmp_path / "out")["state"] == "done").sum() == 6


def test_a_folder_with_the_name_of_a_file_is_left_out(folder, tmp_path):
    (folder / "NYU.mat").mkdir()
    write_mat(folder / "NYU.mat" / "sub-9.mat", scan(9))
    assert converted(folder, tmp_path / "out") == 0
    log = store.read_table(tmp_path / "out/logs" / LOG, text=True).set_index("source")
    assert log.at["NYU.mat", "state"] == "left out"
    assert log.at["NYU.mat", "reason"] == "a folder, not a file"
    assert log.at["NYU.mat/sub-9.mat", "state"] == "done"


FLOAT64 = bytes.fromhex("11203f0008000000 00004000340b0034ff030000")  # in HDF5


@pytest.mark.parametrize(
    ("right", "flipped", "reason"),
    [
        (FLOAT64, FLOAT64[:-2] + b"\1\0", "cut off or damaged"),  # of no range of numpy
        (FLOAT64, b"\x12" + FLOAT64[1:], "cut off or damaged"),  # a type of time
        (b"orig\0", b"or\xffg\0", "no fMRIdata/orig; there are: .*dx, mask"),
    ],
)
def test_a_flipped_byte_of_a_type_or_a_name_is_damage(
    folder, tmp_path, right, flipped, reason
):
    path = folder / "NYU" / "sub-001.mat"
    raw = path.read_bytes()
    assert right in raw
    path.write_bytes(raw.replace(right, flipped))
    assert converted(folder, tmp_path / "out") == 4
    log = log_of(tmp_path / "out")
    assert (log["state"] == "done").sum() == 5
    assert log.at["sub-001", "reason"].startswith("sub-001.mat: ")
    assert re.search(reason, log.at["sub-001", "reason"])


def test_just_under_five_per_cent_is_filled(tmp_path):
    write_mat(tmp_path / "in" / "a.mat", missing(1 / 21))
    assert converted(tmp_path / "in", tmp_path / "out") == 0
    assert np.isfinite(image_of(tmp_path / "out", "sub-a").get_fdata()).all()


def test_what_is_done_is_not_done_again_and_what_changed_is(folder, tmp_path):
    out, path = tmp_path / "out", folder / "NYU" / "sub-001.mat"
    assert converted(folder, out) == 0
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*_bold.nii.gz")}
    kept = path.read_bytes()
    cut(path)
    assert converted(folder, out) == 4
    after = {p: p.stat().st_mtime_ns for p in out.rglob("*_bold.nii.gz")}
    gone = before.keys() - after.keys()
    assert [p.name.partition("_")[0] for p in gone] == ["sub-001"]
    assert all(before[p] == after[p] for p in after)
    path.write_bytes(kept)
    assert converted(folder, out) == 0
    assert {p.name for p in out.rglob("*_bold.nii.gz")} == {p.name for p in before}


def images_of(out: Path) -> set[str]:
    return {path.name for path in out.rglob("*_bold.nii.gz")}


def test_images_of_two_spaces_stand_side_by_side(folder, tmp_path):
    out = tmp_path / "out"
    assert converted(folder, out) == 0
    first = {p: p.stat().st_mtime_ns for p in out.rglob("*_bold.nii.gz")}
    assert converted(folder, out, "--space=MNI152") == 0
    assert len(images_of(out)) == 12
    assert {p.name for p in (out / "logs").iterdir()} == {
        LOG, "matfile_space-MNI152_desc-matgrid0.tsv"
    }  # fmt: skip
    cut(folder / "NYU" / "sub-001.mat")
    assert converted(folder, out, "--space=MNI152") == 4
    assert len(images_of(out)) == 11
    assert converted(folder, out) == 4  # it knows what it had written itself
    assert len(images_of(out)) == 10
    assert not [p for p, time in first.items()
                if p.exists() and p.stat().st_mtime_ns != time]  # fmt: skip


def test_a_file_that_has_gone_is_named_and_its_images_stay(folder, tmp_path, caplog):
    out = tmp_path / "out"
    assert converted(folder, out) == 0
    assert converted(folder, out, "--size=4") == 0
    assert "earlier runs" not in caplog.text
    (folder / "NYU" / "sub-001.mat").unlink()
    assert converted(folder, out) == 0
    said = "no file gives 1 scans of earlier runs now, of sub-001. What was written of"
    assert said in caplog.text
    log = store.read_table(out / "logs" / LOG, text=True).set_index("participant_id")
    assert log.at["sub-001", "state"] == "kept"
    (image,) = (out / "sub-001").rglob("*matgrid0_bold.nii.gz")
    assert log.at["sub-001", "reason"].endswith(f": {image.relative_to(out)}")
    assert (log["state"] == "done").sum() == 5
    for path in (out / "sub-001").rglob("*matgrid0*"):
        path.unlink()
    assert converted(folder, out) == 0
    assert "sub-001" not in (out / "logs" / LOG).read_text()


def test_what_a_killed_process_left_behind_is_removed(folder, tmp_path):
    out, gone = tmp_path / "out", subprocess.Popen(["true"])
    gone.wait()
    place = store.owner().rpartition("-")[0]
    half = out / "sub-000" / "func" / f"{store.PARTIAL}{place}-{gone.pid}-ab.nii.gz"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert converted(folder, out) == 0
    assert not half.exists()


def centred(share: float) -> np.ndarray:
    """A scan whose mean in the mask is a share of its root mean square."""
    orig, mask = scan(0), mask_of()
    inside = orig[mask]
    inside = (inside - inside.mean()) / inside.std()
    orig[mask] = inside + share
    return orig


@pytest.mark.parametrize(("share", "code"), [(0.002, 0), (0.0005, 4), (-0.002, 4)])
def test_a_mean_that_is_next_to_nothing_divides_nothing(tmp_path, share, code):
    """The constant says a thousandth; a scan divided by less would be thousands."""
    write_mat(tmp_path / "in" / "a.mat", centred(share))
    write_mat(tmp_path / "in" / "b.mat", scan(1))
    out = tmp_path / "out"
    assert converted(tmp_path / "in", out) == code
    if code:
        assert "its values seem to be centred" in log_of(out).at["sub-a", "reason"]
    else:
        assert image_of(out, "sub-a").get_fdata()[mask_of()].std() > 400


def test_another_map_of_labels_takes_back_whom_it_does_not_know(folder, tmp_path):
    out = tmp_path / "out"
    assert converted(folder, out) == 0
    assert converted(folder, out, "--labels", "1=autism", "0=control") == 4
    people = derivatives.find_features(out)["participant_id"]
    assert people.tolist() == ["sub-000", "sub-002", "sub-004"]
    assert converted(folder, out) == 0
    assert len(derivatives.find_features(out)) == 6


def test_two_files_of_one_scan_fail_and_runs_are_told_apart(folder, tmp_path):
    for run in (1, 2):
        write_mat(folder / "NYU" / f"sub-000_run{run}.mat", scan(run))
    parts = r"(?P<subject>sub-\d+)(_run\d)?\.mat$"
    assert converted(folder, tmp_path / "out", "--pattern", parts) == 4
    reasons = log_of(tmp_path / "out").loc[["sub-000"], "reason"]
    assert reasons.str.contains("3 files are of sub-000_task-rest").all()
    parts = r"(?P<subject>sub-\d+)(_run(?P<run>\d))?\.mat$"
    assert converted(folder, tmp_path / "runs", "--pattern", parts) == 0
    names = {p.name for p in (tmp_path / "runs" / "sub-000").rglob("*_run-*.nii.gz")}
    assert len(names) == 2


def test_sources_that_contradict_each_other_are_named(folder, tmp_path):
    parts = r"(?P<label>\d)/(?P<subject>sub-\d+)\.mat$"
    (folder / "NYU").rename(folder / "2")
    (folder / "KKI").rename(folder / "1")
    assert converted(folder, tmp_path / "out", "--pattern", parts) == 4
    log = log_of(tmp_path / "out")
    assert (log["state"] == "done").sum() == 2
    said = "its diagnosis is not clear: the path says 'control', dx says 'autism'"
    assert said in log.at["sub-000", "reason"]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (["--labels", "1=a"], ConfigError, "names 1 group"),
        (["--labels", "1=a", "1.0=b"], ConfigError, "'1.0=b': expected CODE=NAME"),
        (["--labels", "autism"], ConfigError, "expected CODE=NAME"),
        (["--pattern", "(?P<subject>"], ConfigError, "no regular expression"),
        (["--pattern", r"(?P<who>\w+)"], ConfigError, r"it needs \(\?P<subject>"),
        (["--pattern", r"(?P<subject>x\d)"], NothingMatched, "does not fit --pattern"),
        (["--size=3", "--tr=2000"], ConfigError, "--size is 3(.|\n)*--tr is 2000.0"),
        (["--size=257"], ConfigError, "--size is 257; it takes 4 to 256"),
        (["--voxel-size=-1"], ConfigError, "--voxel-size is -1.0; it is in mm"),
        (
            ["--size=4", "--voxel-size=3"],
            ConfigError,
            "--voxel-size and --size: a cell",
        ),
        (
            ["--space", "!!"],
            ConfigError,
            "--space is '!!', which holds no letter or di",
        ),
        (["--phenotypic=absent.csv"], InputError, "absent.csv: not a readable table"),
    ],
)
def test_options_that_cannot_be_are_named(folder, tmp_path, options, kind, message):
    with pytest.raises(kind, match=message) as caught:
        converted(folder, tmp_path / "out", *options)
    assert isinstance(caught.value, BidsclfError)


@pytest.mark.parametrize(
    ("text", "message"),
    [("id,site\n1,a\n", "no column 'participant_id'"),
     ("participant_id\n1\nsub-1\n", "1 people have more than one row"),
     ("participant_id\n1\n--\n", r"people.csv: participant_id '--' holds no letter")],
)  # fmt: skip
def test_a_table_that_names_nobody_or_twice_is_refused(tmp_path, text, message):
    path = tmp_path / "people.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        _mat_people.read_table(path)


def test_an_input_folder_is_never_written_to(folder):
    with pytest.raises(ConfigError, match="an input is never written to"):
        converted(folder, folder / "out")


def test_memory_stays_below_one_scan(tmp_path):
    shape, n = (24, 24, 24), 100
    mask = np.ones(shape, np.uint8)
    write_mat(
        tmp_path / "in" / "a.mat", scan(0, shape, n).astype(np.float32), mask=mask
    )
    tracemalloc.start()
    converted(tmp_path / "in", tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24**3 * n * 4


def test_the_group_level_takes_the_grid_of_the_files_by_its_word(folder, tmp_path):
    out = tmp_path / "out"
    assert converted(folder, out, *SITES) == 0
    assert converted(folder, out, *SITES, "--size=4") == 0
    for word, shape in (("own", SHAPE), ("4", (4, 4, 4))):
        words = [str(out), str(out), "group", "--volume-size", word]
        cohort = build_cohort(out, to_config(parse(words)).cohort)
        assert cohort.load("volume").shapes == [(N_VOLUMES, *shape)] * 6
    with pytest.raises(ConfigError, match=r"2 kinds: 4, own; .*with --volume-size"):
        build_cohort(out, CohortConfig())


@pytest.mark.slow
def test_the_group_level_learns_from_these_images(tmp_path):
    """Patients' scans have a bright corner; dx 1 is a patient."""
    for number in range(32):
        orig, site = scan(number, (8, 8, 8), 10), ("NYU", "KKI")[number // 2 % 2]
        mask, is_patient = np.ones((8, 8, 8), np.uint8), number % 2
        orig[:4, :4, :4] += 40 * is_patient
        path = tmp_path / "in" / site / f"{number:02d}.mat"
        write_mat(path, orig, mask=mask, dx=[[2.0 - is_patient]])
    out, less = tmp_path / "out", ["--n-folds=2", "--n-bootstrap=100"]
    assert converted(tmp_path / "in", out, *SITES) == 0
    settings = ["n_epochs=8", "learning_rate=3e-3", "batch_size=4", "width=4",
                "n_steps=4", "dropout=0"]  # fmt: skip
    run = [sys.executable, Path(__file__).parents[2] / "run.py", out, out, "group"]
    words = [f"cnn3d:{setting}" for setting in settings]
    ended = subprocess.run(
        [*run, *less, "--models", "cnn3d", "--model-settings", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    made = out / "derivatives" / "main"
    assert (made / "report.html").exists()
    table = store.read_table(made / "metrics.tsv")
    pooled = table.query("metric == 'auc' and scope == 'pooled' and method == 'delong'")
    assert pooled.set_index("model").at["cnn3d", "estimate"] > 0.8
