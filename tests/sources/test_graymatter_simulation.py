"""Simulated grey-matter maps: the files, and each effect in its planted place."""

import argparse
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from nilearn import datasets

from bidsclf.errors import ConfigError
from bidsclf.files import store
from bidsclf.sources import _graymatter, _maps, simulate
from bidsclf.sources._settings import StudyConfig

CONFIG = StudyConfig(effect_kind="graymatter", n_subjects=400, resolution_mm=8)
SMALL = ("--n-sites=2", "--n-subjects=8", "--resolution-mm=8", "--nprocs=1")
FMRIPREP = Path("derivatives", "fmriprep")


def simulated(out: Path, *options: str) -> Path:
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    words = [str(out), "--effect-kind=graymatter", *SMALL, *options]
    assert simulate.run(parser.parse_args(words)) == 0
    return out


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "study"
    return simulated(out, "--n-subtypes=2")


def maps_of(config: StudyConfig) -> np.ndarray:
    brain = _graymatter.load_greymatter(config.resolution_mm)
    return np.array(
        [
            _graymatter.draw_map(
                brain,
                _graymatter.pattern_of(person, config),
                np.random.default_rng([config.seed, number]),
            )
            for number, person in _graymatter.people(config).iterrows()
        ]
    )


@pytest.mark.parametrize("root", [Path(), FMRIPREP])
def test_the_official_validator_finds_no_error(study, root):
    command = [Path(sys.executable).with_name("bids-validator-deno"), study / root]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_everyone_has_one_map_and_nobody_a_functional_image(study):
    template = datasets.load_mni152_gm_template(resolution=8)
    found = sorted((study / FMRIPREP).glob("sub-*/anat/*_probseg.nii.gz"))
    name = "sub-001_space-MNI152NLin2009cAsym_label-GM_probseg.nii.gz"
    assert (found[0].name, len(found)) == (name, 8)
    assert not list(study.rglob("*bold*"))
    for path in found:
        image = nibabel.load(path)
        np.testing.assert_allclose(image.affine, template.affine)
        assert int(image.header["qform_code"]) == 4  # MNI
        values = image.get_fdata()
        assert values.shape == template.shape
        assert values.min() == 0
        assert 0.75 < values.max() <= 1
        grey = template.get_fdata() > 0.05
        assert np.corrcoef(values[grey], template.get_fdata()[grey])[0, 1] > 0.9
        sidecar = store.read_json(path.with_name(path.name.replace(".nii.gz", ".json")))
        raw = sidecar["Sources"][0].removeprefix("bids:raw:")
        assert (study / raw).exists()


def test_the_table_of_people_tells_severity_and_not_the_kind(study):
    people = store.read_table(study / "participants.tsv")
    told = ["participant_id", "diagnosis", "site", "age", "sex", "iq", "severity"]
    assert list(people) == told
    assert set(store.read_json(study / "participants.json")) == set(told[1:])
    assert (people["severity"].notna() == (people["diagnosis"] == "patient")).all()
    truth = store.read_table(study / "code" / "truth_people.tsv")
    assert truth["subtype"].value_counts().to_dict() == {1: 2, 2: 2}
    assert truth["subtype"].notna().equals(truth["severity"].notna())
    pd.testing.assert_frame_equal(truth.drop(columns="subtype"), people)


def planted(pattern: dict[str, float], truth: dict) -> np.ndarray:
    """The log of a factor over the grid, from what the study says of itself."""
    image = datasets.load_mni152_gm_template(resolution=8)
    x, y, z = np.moveaxis(
        nibabel.affines.apply_affine(
            image.affine, np.moveaxis(np.indices(image.shape), 0, -1)
        ),
        -1,
        0,
    )
    field = np.zeros(image.shape)
    for place, strength in pattern.items():
        px, py, pz = truth["places_mm"][place]
        apart = (np.abs(x) - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2
        field += strength * 0.5 ** (apart / (truth["bumps"]["fwhm_mm"] / 2) ** 2)
    return field


def test_each_trait_moves_the_places_that_the_truth_names_by_as_much():
    """A regression of everyone's maps, with every trait at once."""
    truth, people = _maps.truth(CONFIG), _graymatter.people(CONFIG)
    template = datasets.load_mni152_gm_template(resolution=8).get_fdata()
    grey = template > 0.3
    logs = np.log(maps_of(CONFIG)[:, grey] / (truth["share"] * template[grey]))
    units, factors = truth["units"], truth["log_factors"]
    severity = (people["severity"] - units["severity"]["zero"]).fillna(0)
    columns = {
        "age": (people["age"] - units["age"]["zero"]) / units["age"]["unit"],
        "iq": (people["iq"] - units["iq"]["zero"]) / units["iq"]["unit"],
        "sex": (people["sex"] == "male") - 0.5,
        "severity": severity / units["severity"]["unit"],
    }
    columns |= {name: people["site"] == name for name in factors["sites"]}
    design = np.column_stack([*columns.values()]).astype(float)
    found = np.linalg.lstsq(design, logs, rcond=None)[0]
    patterns = {**factors["everyone"], **factors["sites"]}
    patterns["severity"] = factors["patients"]["severity"]
    for name, field in zip(columns, found, strict=True):
        expected = planted(patterns[name], truth)[grey]
        slope = (field @ expected) / (expected @ expected)
        assert np.corrcoef(field, expected)[0, 1] > 0.7, name
        assert slope == pytest.approx(1, abs=0.2), name


def test_controls_have_nothing_of_what_is_planted_in_patients():
    few = replace(CONFIG, n_subjects=16, n_subtypes=3)
    is_patient = _graymatter.people(few)["diagnosis"] == "patient"
    without, planted_maps = maps_of(replace(few, effect=0.0)), maps_of(few)
    moved = (without != planted_maps).any(axis=(1, 2, 3))
    assert moved.tolist() == is_patient.tolist()


def test_kinds_add_their_pattern_to_that_of_severity_and_the_effect_scales_both():
    three = replace(CONFIG, n_subtypes=3, site_effect=0.0, effect=0.5)
    person = _graymatter.people(three).query("diagnosis == 'patient'").iloc[0]
    truth = _maps.truth(three)["log_factors"]["patients"]
    well = _graymatter.pattern_of(person, replace(three, effect=0.0))
    severe = (person["severity"] - 40) / 10
    for kind in (1, 2, 3):
        found = _graymatter.pattern_of(person.replace(person["subtype"], kind), three)
        places = dict(zip(_graymatter.PLACES_MM, found - well, strict=True))
        expected = {
            place: truth["subtypes"][str(kind)].get(place, 0)
            + severe * truth["severity"].get(place, 0)
            for place in places
        }
        assert places == pytest.approx(expected)
    assert truth["severity"]["striatum"] == _graymatter.SEVERITY["striatum"] / 2
    assert not _graymatter.site_patterns(three).any()


def test_severity_and_kind_are_independent_of_what_all_share():
    many = replace(CONFIG, n_subjects=8000, n_subtypes=3)
    people = _graymatter.people(many).query("diagnosis == 'patient'")
    shared = pd.get_dummies(people[["age", "iq", "sex", "site"]], dtype=float)
    own = pd.get_dummies(people[["severity", "subtype"]].astype({"subtype": str}))
    found = np.corrcoef(shared.T, own.astype(float).T)[len(shared.columns) :]
    assert np.abs(found[:, : len(shared.columns)]).max() < 4 / np.sqrt(4000)
    assert people["severity"].mean() == pytest.approx(60, abs=1)
    kinds = people.groupby("subtype")["severity"]
    assert kinds.mean().tolist() == pytest.approx([50, 60, 70], abs=1)
    assert kinds.std().tolist() == pytest.approx([4, 4, 4], abs=0.3)


def test_severity_and_kind_are_unrelated_to_what_these_very_people_share():
    """Not only on average: few people would else have traits that go together."""
    for seed in range(5):
        config = replace(CONFIG, n_subjects=200, n_subtypes=3, seed=seed)
        people = _graymatter.people(config).query("diagnosis == 'patient'")
        shared = pd.get_dummies(people[["age", "iq", "sex", "site"]], dtype=float)
        found = [np.corrcoef(people["severity"], one)[0, 1] for one in shared.T.values]
        assert np.abs(found).max() < 0.03  # what cutting off far values leaves
        counts = people.groupby(["site", "subtype"]).size().unstack()
        assert (counts.max(axis=1) - counts.min(axis=1) <= 2).all()
        assert np.ptp(people.groupby("subtype")["iq"].mean()) < 3


def test_people_and_sites_differ_where_patients_own_patterns_are_not():
    """But the bumps are wide: none of these patterns is alone in its place."""
    own = {place for one in (*_graymatter.KINDS, _graymatter.SEVERITY) for place in one}
    truth = _maps.truth(CONFIG)
    assert set(truth["own_sd_of_log"]["places"]) == set(truth["places_mm"]) - own
    severity = planted(_graymatter.SEVERITY, truth)
    for pattern in _graymatter.SHARED.values():
        shared = planted(pattern, truth)
        both = np.abs(shared * severity).sum()
        assert both > 0.05 * np.sqrt((shared**2).sum() * (severity**2).sum())


def test_a_study_that_was_interrupted_goes_on(study, tmp_path):
    other = simulated(tmp_path / "other", "--n-subtypes=2")
    for path in (other / FMRIPREP / "sub-003").rglob("*.nii.gz"):
        path.unlink()
    (other / "sub-003" / "anat" / "sub-003_T1w.json").unlink()
    simulated(other, "--n-subtypes=2", "--n-volumes=99")  # which nothing here reads
    assert digests(other) == digests(study)
    with pytest.raises(ConfigError, match=r"other settings \(n_subtypes 2\)"):
        simulated(other)


def test_another_seed_gives_other_people_and_other_sites():
    other = replace(CONFIG, seed=1)
    one, another = _graymatter.people(CONFIG), _graymatter.people(other)
    assert (one["severity"].dropna() != another["severity"].dropna()).mean() > 0.9
    sites, others = (_graymatter.site_patterns(study) for study in (CONFIG, other))
    is_moved = np.isin(list(_graymatter.PLACES_MM), _graymatter.EVERYONE)
    assert (sites != others)[:, is_moved].all()
    assert not sites[:, ~is_moved].any()
    assert not set(_graymatter.SEVERITY) & set(_graymatter.EVERYONE)


def test_other_kinds_of_studies_do_not_name_subtypes():
    for kind in ("static", "dynamic", "volume"):
        assert "n_subtypes" not in StudyConfig(effect_kind=kind).to_dict()
    assert CONFIG.to_dict()["n_subtypes"] == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_subtypes": 2, "effect_kind": "volume"}, "only graymatter plants kinds"),
        ({"n_subtypes": 0}, "--n-subtypes is 0; it lies between 1 and 4"),
        ({"n_subtypes": 5}, "--n-subtypes is 5; it lies between 1 and 4"),
        ({"n_subtypes": 4, "n_subjects": 6}, "not one patient of each kind"),
    ],
)
def test_kinds_that_cannot_be_planted_are_refused(settings, message):
    settings = {"effect_kind": "graymatter", "n_sites": 2} | settings
    with pytest.raises(ConfigError, match=message):
        StudyConfig(**settings)
