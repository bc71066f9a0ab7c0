"""What is planted in grey-matter maps is found where it was planted.

Severity and kinds, which patients alone have, lie in the salient latents; site and IQ,
which all have, in the background (``bidsclf-data simulate --effect-kind graymatter``).
"""

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kstest

from bidsclf.features._resize import axis_weights
from bidsclf.interpret import latent
from bidsclf.models._base import find
from bidsclf.sources import _graymatter
from bidsclf.sources._settings import StudyConfig

SIZE = 16  # cells along each axis of a cube; 64 is the default of --gm-size
LOW_MM, EDGE_MM = (-96, -113, -91), 192
STUDY = StudyConfig(effect_kind="graymatter", n_subjects=240, resolution_mm=6, seed=1)
SMALL = {"width": 8}
TRAITS = ("severity", "iq", "site")
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def one_thread():
    """Small networks on several threads wait for each other."""
    torch.set_num_threads(1)


def maps_of(config: StudyConfig) -> tuple[list[np.ndarray], pd.DataFrame]:
    """Everyone's map, float32 (1, SIZE, SIZE, SIZE), and what is known of them."""
    brain, people = (
        _graymatter.load_greymatter(config.resolution_mm),
        _graymatter.people(config),
    )
    step = EDGE_MM / SIZE / config.resolution_mm
    weights = [
        axis_weights(
            n,
            SIZE,
            start=(LOW_MM[axis] - brain.affine[axis, 3]) / config.resolution_mm,
            step=step,
        )
        for axis, n in enumerate(brain.grey.shape)
    ]
    maps = []
    for number, person in people.iterrows():
        rng = np.random.default_rng([config.seed, number])
        pattern = _graymatter.pattern_of(person, config)
        volume = _graymatter.draw_map(brain, pattern, rng)
        small = np.einsum("ax,by,cz,xyz->abc", *weights, volume, optimize=True)
        maps.append(small[None].astype(np.float32))
    return maps, people


@cache
def placed(config: StudyConfig) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Latents of patients by a network of everyone, and what is known of them."""
    maps, people = maps_of(config)
    y = (people["diagnosis"] == "patient").to_numpy(int)
    rows = find("cvae").prepare(maps)
    fitted = find("cvae").make(seed=config.seed, device="cpu", **SMALL)
    fitted.of_sites(people["site"].to_numpy(object))
    fitted.fit(rows, y)
    is_patient = np.flatnonzero(y == 1)
    return fitted.latents(rows[is_patient]), people.iloc[is_patient]


def table_of(config: StudyConfig) -> pd.DataFrame:
    latents, people = placed(config)
    traits = [latent.read_trait(name, people[name].astype(str)) for name in TRAITS]
    found = latent.similarities(latents, traits, n_permutations=499, seed=0)
    return found.set_index(["space", "trait"])


def n_kinds(config: StudyConfig) -> int:
    latents, _ = placed(config)
    table = latent.mixtures(latents["salient"], seed=0)
    return int(table.loc[table["is_best"], "n_components"].iloc[0])


def check_traits(config: StudyConfig) -> None:
    """What is not in a space has a p, uncorrected, above that of what is."""
    found = table_of(config)
    for space, own, others in (
        ("salient", ["severity"], ["iq", "site"]),
        ("background", ["iq", "site"], ["severity"]),
    ):
        for trait in own:
            assert found.loc[(space, trait), "tau"] > 0
            assert found.loc[(space, trait), "p"] < 0.01, (space, trait)
        for trait in others:
            assert found.loc[(space, trait), "p"] > 0.01, (space, trait)
    gap = found.loc["salient - background"]
    assert (gap["p"] < 0.01).all()
    assert np.sign(gap["tau"]).to_dict() == {"severity": 1, "iq": -1, "site": -1}


@pytest.mark.slow
def test_severity_is_salient_and_site_and_iq_are_background():
    check_traits(STUDY)
    assert n_kinds(STUDY) == 1


@pytest.mark.slow
def test_scrambled_traits_give_uniform_p():
    """Over 60 scrambles, which one trait and one space of the latents share."""
    latents, people = placed(STUDY)
    rng = np.random.default_rng(0)
    scrambled = [
        latent.read_trait(str(n), people["severity"].sample(frac=1, random_state=rng))
        for n in range(60)
    ]
    only = {"salient": latents["salient"]}
    found = latent.similarities(only, scrambled, n_permutations=99, seed=0)
    assert kstest(found["p"], "uniform").pvalue > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_other_people_give_the_same_verdict(seed):
    check_traits(replace(STUDY, seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize("n_subtypes", [2, 3])
def test_planted_kinds_are_counted(n_subtypes):
    assert n_kinds(replace(STUDY, n_subtypes=n_subtypes)) == n_subtypes


@pytest.mark.slow
def test_the_whole_line_finds_severity_in_the_salient_space(tmp_path):
    study, out = tmp_path / "study", tmp_path / "out"
    words = ["--effect-kind", "graymatter", "--n-subjects", "240",
             "--resolution-mm", "6"]  # fmt: skip
    code = "import sys; from bidsclf.cli import data_main; sys.exit(data_main())"
    run = [sys.executable, ROOT / "run.py", study, out]
    for command in (
        [sys.executable, "-c", code, "simulate", study, *words],
        [*run, "participant", "--features", "graymatter", "--gm-size", str(SIZE)],
        [*run, "group", "--models", "cvae", "--n-folds", "2", "--n-bootstrap", "100",
         "--traits", *TRAITS, "--model-settings", "cvae:width=8"],
    ):  # fmt: skip
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
    made = out / "derivatives" / "main"
    assert (made / "latent.html").exists()
    table = pd.read_csv(made / "rsa.tsv", sep="\t")
    found = table.query("fit == 'everyone'").set_index(["space", "trait"])
    assert found.loc[("salient", "severity"), "p"] < 0.01
    assert found.loc[("background", "site"), "p"] < 0.01
    mixture = pd.read_csv(made / "mixture.tsv", sep="\t")
    best = mixture.query("fit == 'everyone' and space == 'salient' and is_best")
    assert best["n_components"].tolist() == [1]
