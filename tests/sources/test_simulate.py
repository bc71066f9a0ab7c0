"""Simulated studies: the files, the truth in them, and what is refused."""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nilearn.interfaces.fmriprep import load_confounds_strategy

from bidsclf.errors import ConfigError
from bidsclf.files import store
from bidsclf.sources import _layout, _signals, _study, simulate
from bidsclf.sources._anatomy import load_anatomy
from bidsclf.sources._settings import StudyConfig

SMALL = ("--n-sites=2", "--n-subjects=4", "--n-volumes=60", "--resolution-mm=8")
FMRIPREP = Path("derivatives", "fmriprep")


def simulated(out: Path, *options: str) -> int:
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    return simulate.run(parser.parse_args([str(out), "--nprocs=1", *SMALL, *options]))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "study"
    assert simulated(out) == 0
    return out


def images(study: Path) -> list[Path]:
    return sorted((study / FMRIPREP).glob("sub-*/func/*_desc-preproc_bold.nii.gz"))


@pytest.mark.parametrize("root", [Path(), FMRIPREP])
def test_the_official_validator_finds_no_error(study, root):
    command = [Path(sys.executable).with_name("bids-validator-deno"), study / root]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("strategy", ["simple", "scrubbing", "compcor"])
def test_nilearn_reads_the_confounds(study, strategy):
    for image in images(study):
        table, _ = load_confounds_strategy(str(image), denoise_strategy=strategy)
        assert table.shape[0] == nibabel.load(image).shape[3]
        assert np.isfinite(table.to_numpy()).all()
        assert np.linalg.matrix_rank(table) == table.shape[1]


def test_confounds_are_taken_from_the_image(study):
    image = images(study)[0]
    mask = image.with_name(image.name.replace("preproc_bold", "brain_mask"))
    stem = image.name.partition("_space")[0]
    table = store.read_table(image.with_name(f"{stem}_desc-confounds_timeseries.tsv"))
    series = nibabel.load(image).get_fdata()[nibabel.load(mask).get_fdata() > 0]
    np.testing.assert_allclose(table["global_signal"], series.mean(axis=0), rtol=1e-3)
    moved = table[[*_signals.MOTION]].diff().abs().to_numpy()
    expected = moved[:, :3].sum(axis=1) + 50 * moved[:, 3:].sum(axis=1)
    found = table["framewise_displacement"].to_numpy()
    np.testing.assert_allclose(found[1:], expected[1:], rtol=1e-4)
    assert np.isnan(found[0])


def test_the_truth_names_edges_only_where_there_is_an_effect(study, tmp_path):
    _layout.write_study(tmp_path, StudyConfig(effect=0.0))
    for out, n_edges in ((study, len(_study.edges())), (tmp_path, 0)):
        assert len(store.read_json(out / _layout.TRUTH)["edges"]) == n_edges
        table = store.read_table(out / "code" / "truth_edges.tsv")
        assert list(table) == ["region_a", "region_b", "patients"]
        assert len(table) == n_edges


def test_a_dynamic_study_plants_a_wave_and_no_edge(study, tmp_path):
    assert "wave" not in store.read_json(study / _layout.TRUTH)
    assert "effect_kind" not in store.read_json(study / _layout.TRUTH)["settings"]
    dynamic = StudyConfig(effect_kind="dynamic", effect=0.5)
    _layout.write_study(tmp_path, dynamic)
    truth = store.read_json(tmp_path / _layout.TRUTH)
    assert truth["edges"] == []
    assert truth["settings"]["effect_kind"] == "dynamic"
    assert truth["wave"]["direction"] == {"control": 0.5, "patient": -0.5}
    times = truth["wave"]["arrives_s"]
    assert list(times) == list(_study.networks())
    assert list(np.diff([*times.values()])) == [3.0] * 7
    name = store.read_json(tmp_path / "dataset_description.json")["Name"]
    assert name == "Simulated study, seed 0, dynamic effect"


def test_the_kind_of_an_effect_is_one_of_four():
    message = "'fast'; it is one of static, dynamic, volume, graymatter"
    with pytest.raises(ConfigError, match=message):
        StudyConfig(effect_kind="fast")


def test_people_of_another_seed_are_of_another_dataset(study, tmp_path):
    _layout.write_study(tmp_path, StudyConfig(seed=3, n_sites=2, n_subjects=4))
    for root in (Path(), FMRIPREP):
        one, other = (
            store.read_json(out / root / "dataset_description.json")["Name"]
            for out in (study, tmp_path)
        )
        assert one.startswith("Simulated study, seed 0")
        assert other.startswith("Simulated study, seed 3")


def test_the_headers_and_sidecars_agree(study):
    for image in [*images(study), *study.glob("sub-*/func/*_bold.nii.gz")]:
        sidecar = json.loads(
            image.with_name(image.name.replace(".nii.gz", ".json")).read_text()
        )
        assert int(nibabel.load(image).header["qform_code"]) == 4  # MNI
        assert nibabel.load(image).header.get_zooms()[3] == pytest.approx(
            sidecar["RepetitionTime"]
        )
        assert sidecar["TaskName"] == "rest"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_however_many_processes(study, tmp_path):
    again = tmp_path / "again"
    assert simulated(again, "--nprocs=2") == 0
    assert digests(again) == digests(study)


def test_a_study_that_was_interrupted_goes_on(study, tmp_path):
    other = tmp_path / "other"
    simulated(other)
    (last,) = (other / FMRIPREP / "sub-003").rglob("*_timeseries.tsv")
    last.unlink()
    assert simulated(other) == 0
    assert digests(other) == digests(study)


def test_runs_and_sessions_have_their_own_names(tmp_path):
    simulated(tmp_path / "many", "--n-runs=2", "--n-sessions=2", "--n-subjects=4")
    found = {path.name.partition("_space")[0] for path in images_of(tmp_path / "many")}
    assert "sub-001_ses-2_task-rest_run-1" in found
    assert len(found) == 16


def images_of(study: Path) -> list[Path]:
    return sorted((study / FMRIPREP).rglob("*_desc-preproc_bold.nii.gz"))


@given(seed=st.integers(0, 99), n_sites=st.integers(1, 6), more=st.integers(0, 30))
def test_diagnosis_is_balanced_within_each_site(seed, n_sites, more):
    config = StudyConfig(seed=seed, n_sites=n_sites, n_subjects=2 * n_sites + more)
    counts = _study.people(config).groupby(["site", "diagnosis"]).size().unstack()
    assert len(counts) == n_sites
    assert ((counts["patient"] - counts["control"]).abs() <= 1).all()


def test_the_planted_edges_are_regions_of_the_atlas():
    regions = load_anatomy(8, seed=0).regions
    assert {name for edge in _study.edges() for name in (edge.a, edge.b)} <= set(
        regions
    )
    assert {edge.sign for edge in _study.edges()} == {-1, 1}
    assert "none" not in {_study.network_of(region) for region in regions}


def mean_edges(effect: float, *, n_people: int = 24) -> np.ndarray:
    """Mean Fisher z of the planted edges, patients less controls, times the sign."""
    regions, edges = load_anatomy(8, seed=0).regions, _study.edges()
    where = [(regions.index(edge.a), regions.index(edge.b)) for edge in edges]
    found: dict[int, list[np.ndarray]] = {-1: [], 1: []}
    for person in range(n_people):
        rng = np.random.default_rng(person)
        side = 1 if person % 2 else -1
        traits = _signals.draw_traits(edges, len(regions), shift=side * effect, rng=rng)
        signals = _signals.neural(
            regions, edges, traits, n_volumes=200, tr_s=2.0, rng=rng
        )
        z = np.arctanh(np.corrcoef(signals.T)[tuple(np.transpose(where))])
        found[side].append(z)
    signs = [edge.sign for edge in edges]
    return signs * (np.mean(found[1], axis=0) - np.mean(found[-1], axis=0))


def test_the_effect_lies_on_every_planted_edge_and_can_be_switched_off():
    assert (mean_edges(1.0) > 0.05).all()
    assert abs(mean_edges(0.0).mean()) < 0.05


def test_signals_are_smooth_in_time_as_blood_is():
    noise = _signals.haemodynamic_noise(400, 50, tr_s=2.0, rng=np.random.default_rng(0))
    lag = (noise[1:] * noise[:-1]).mean() / (noise**2).mean()
    assert 0.4 < lag < 0.9
    assert noise.var() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--effect=-1"], "--effect is -1.0; it takes 0 or more"),
        (["--n-subjects=3"], "--n-subjects is 3; it takes 4 or .* or lower --n-sites"),
        (["--resolution-mm=9"], "--resolution-mm is 9; it lies between 2 and 8"),
        (["--n-volumes=10", "--n-runs=0"], "--n-runs is 0"),
        (["--seed=-1"], "--seed is -1; it takes 0 or more"),
        (["--nprocs=0"], "--nprocs is 0; it takes 1 or more"),
    ],
)
def test_settings_out_of_range_are_named(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        simulated(tmp_path / "study", *options)


def test_a_folder_with_something_else_is_left_alone(study, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no simulated study"):
        simulated(tmp_path)
    with pytest.raises(ConfigError, match=r"study of other settings \(seed 0\)"):
        simulated(study, "--seed=4")
    with pytest.raises(ConfigError, match=r"study of other .*\(effect_kind None\)"):
        simulated(study, "--effect-kind=dynamic")


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        simulated(tmp_path / "taken")
