"""Latent spaces through a whole analysis: who is placed by which network, images."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import kendalltau

from bidsclf.config import Config, InterpretConfig
from bidsclf.crossval import load_bundle
from bidsclf.errors import ConfigError
from bidsclf.files import derivatives, store
from bidsclf.files.greymatter import GreyOutput, write_map
from bidsclf.interpret import latent
from bidsclf.models._volumes import Volumes
from bidsclf.workflows import _graph, _latent, _traits
from bidsclf.workflows._jobs import Job
from bidsclf.workflows.group import run_group

SIZE, N = 8, 48
AFFINE = np.diag([24.0, 24.0, 24.0, 1.0])
AFFINE[:3, 3] = [-84, -101, -79]
BOX = np.array([[-96, -113, -91], [96, 79, 101]])
SMALL = ("n_epochs=3", "width=8", "n_hidden=16", "batch_size=8")


def write_study(out: Path) -> pd.DataFrame:
    """Write maps of controls and patients in turn, and what is known of them."""
    rng, rows = np.random.default_rng(0), []
    for number in range(N):
        is_patient = number % 2 == 1
        severity = rng.uniform(0, 1) if is_patient else 0
        values = rng.uniform(0.1, 0.3, (SIZE,) * 3)
        values[2:4, 2:4, 2:4] += 0.6 * severity
        made = GreyOutput(
            entities={"sub": f"{number:02d}"}, space="MNI152NLin6Asym",
            pipeline="fmriprep", values=values.astype(np.float32), affine=AFFINE,
            box_mm=BOX, is_modulated=False, fwhm_mm=0.0,
        )  # fmt: skip
        write_map(out, made)
        rows.append(
            {
                "participant_id": f"sub-{number:02d}",
                "diagnosis": "adhd" if is_patient else "control",
                "site": "12"[number // 2 % 2],
                "age": int(20 + rng.integers(20)),
                "severity": round(100 * severity, 1) if is_patient else None,
                "iq": -999 if number % 12 == 1 else int(90 + rng.integers(30)),
                "scan_id": 1000 + number,
                "comment": f"seen on day {number}",
                "drug": "none",
            }
        )
    people = pd.DataFrame(rows)
    derivatives.write_roots(out, derivatives.Roots(name="Maps", participants=people))
    return people


def config_of(out: Path, **interpret) -> Config:
    config = Config(bids_dir=out, output_dir=out, level="group")
    models = ("cvae", "vae", "control-site")
    words = [f"{m}:{word}" for m in models[:2] for word in SMALL]
    return replace(
        config,
        analysis=replace(
            config.analysis, models=models, settings=tuple(words), n_permutations=100
        ),
        folds=replace(config.folds, n_folds=2),
        interpret=InterpretConfig(**interpret),
    )


def plane_of(latent, *, seed):
    """Return what stands for a picture: UMAP takes half a minute to be compiled."""
    names = ["pca_1", "pca_2", "umap_1", "umap_2"]
    return pd.DataFrame(latent[:, [0, 1, 0, 1]], columns=names)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    out = tmp_path_factory.mktemp("maps")
    write_study(out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latent, "planes", plane_of)
        assert run_group(config_of(out)) == 0
    return out / "derivatives" / "main"


@pytest.fixture
def own(analysed, tmp_path):
    """Return a copy to change: the folder that ``run_group`` takes."""
    return Path(shutil.copytree(analysed.parents[1], tmp_path / "out"))


def table(analysis: Path, name: str, **wanted: str) -> pd.DataFrame:
    found = store.read_table(analysis / f"{name}.tsv", text=("participant_id",))
    for column, value in wanted.items():
        found = found[found[column] == value]
    return found.reset_index(drop=True)


def maps_of(analysis: Path, people) -> Volumes:
    """Return the maps of people, read without any of our own code."""
    seam = analysis.parents[1]
    files = [next((seam / who / "anat").glob("*_probseg.nii.gz")) for who in people]
    images = [nibabel.load(file).get_fdata(dtype=np.float32)[None] for file in files]
    return Volumes.of(images)


def model_of(analysis: Path, model: str, fold: int):
    name = f"fold-{fold:02d}" if fold else "final"
    return load_bundle(analysis / "models" / model / name)[0].model


def image(analysis: Path, name: str) -> np.ndarray:
    return nibabel.load(analysis / "latent" / f"{name}_map.nii.gz").get_fdata()


@pytest.mark.parametrize(
    ("model", "spaces"), [("cvae", ("salient", "background")), ("vae", ("latent",))]
)
def test_each_person_is_placed_by_the_network_that_did_not_see_them(
    analysed, model, spaces
):
    folds = table(analysed, "folds", part="test")
    placed = table(analysed, "latents", model=model)
    for fold in (0, 1, 2):
        rows = placed[placed["fold"] == fold]
        assert set(rows["fit"]) == {"crossfitted" if fold else "everyone"}
        who = folds["participant_id"][folds["fold"].isin([fold] if fold else [1, 2])]
        assert sorted(rows["participant_id"]) == sorted(who)
        network = model_of(analysed, model, fold)
        found = network.latents(maps_of(analysed, rows["participant_id"]))
        assert tuple(found) == spaces
        for space, latents in found.items():
            written = rows[[c for c in rows if c.startswith(f"{space}_")]]
            np.testing.assert_allclose(written, latents, rtol=1e-4, atol=1e-5)
    other = model_of(analysed, model, 2).latents(
        maps_of(analysed, placed[placed["fold"] == 1]["participant_id"])
    )
    one = placed[placed["fold"] == 1].filter(like=f"{spaces[0]}_")
    assert not np.allclose(one, other[spaces[0]], atol=1e-3)  # networks do differ
    everyone = set(table(analysed, "cohort")["participant_id"])
    for fit in ("everyone", "crossfitted"):
        assert set(placed["participant_id"][placed["fit"] == fit]) == everyone


@pytest.mark.parametrize("fit", ["everyone", "crossfitted"])
def test_the_mean_difference_is_what_the_networks_say_of_patients(analysed, fit):
    rows = table(analysed, "latents", model="cvae", fit=fit, label="adhd")
    differences, twins = [], []
    for fold, own in rows.groupby("fold"):
        network = model_of(analysed, "cvae", int(fold))
        latents = network.latents(maps_of(analysed, own["participant_id"]))
        without = latents | {"salient": np.zeros_like(latents["salient"])}
        twins.append(network.decode(without))
        differences.append(network.decode(latents) - twins[-1])
    change = np.concatenate(differences)
    assert np.abs(change).max() > 1e-4
    stem = f"desc-{fit}patient"
    mean = image(analysed, f"cvae_stat-mean_{stem}difference")
    np.testing.assert_allclose(mean, change.mean(axis=0), atol=2e-6)
    spread = image(analysed, f"cvae_stat-std_{stem}difference")
    np.testing.assert_allclose(spread, change.std(axis=0, ddof=1), atol=2e-6)
    twin = image(analysed, f"cvae_stat-mean_{stem}twin")
    np.testing.assert_allclose(twin, np.concatenate(twins).mean(axis=0), atol=2e-6)
    original = image(analysed, f"cvae_stat-mean_{stem}original")
    maps = maps_of(analysed, rows["participant_id"])
    np.testing.assert_allclose(original, np.mean([*maps], axis=0)[0], atol=2e-6)
    about = store.read_json(analysed / "latent" / f"cvae_stat-mean_{stem}twin_map.json")
    assert (about["Fit"], about["NumberOfPeople"]) == (fit, N // 2)
    assert about["Space"] == "MNI152NLin6Asym"


def test_a_control_is_given_what_patients_have_on_average(analysed):
    rows = table(analysed, "latents", model="cvae", fit="everyone")
    network = model_of(analysed, "cvae", 0)
    latents = network.latents(maps_of(analysed, rows["participant_id"]))
    is_patient = (rows["label"] == "adhd").to_numpy()
    salient = latents["salient"].copy()
    salient[:] = salient[is_patient].mean(axis=0)
    made = network.decode(latents | {"salient": salient})[~is_patient]
    shown = image(analysed, "cvae_stat-mean_desc-everyonecontrolsynthetic")
    np.testing.assert_allclose(shown, made.mean(axis=0), atol=2e-6)


def test_people_are_shown_from_little_to_much_change(analysed):
    found = {}
    for path in (analysed / "latent").glob("sub-*_desc-cvaepatientdifference_map.json"):
        about = store.read_json(path)
        size = np.linalg.norm(image(analysed, path.name.removesuffix("_map.json")))
        found[about["Quantile"]] = (about["Participant"], size)
    assert sorted(found) == [0.1, 0.5, 0.9]
    rows = table(analysed, "latents", model="cvae", fit="everyone", label="adhd")
    network = model_of(analysed, "cvae", 0)
    latents = network.latents(maps_of(analysed, rows["participant_id"]))
    change = network.decode(latents) - network.decode(latents, with_salient=False)
    size = np.linalg.norm(change.reshape(len(change), -1), axis=1)
    order = np.argsort(size)
    for quantile, (who, own) in found.items():
        at = order[round(quantile * (len(order) - 1))]
        assert rows["participant_id"][at] == who
        np.testing.assert_allclose(own, size[at], rtol=1e-4)


def test_a_plain_autoencoder_has_no_salient_part_to_leave_out(analysed):
    names = {path.name for path in (analysed / "latent").glob("vae_*.nii.gz")}
    assert names == {
        f"vae_stat-mean_desc-{fit}patient{name}_map.nii.gz"
        for fit in ("everyone", "crossfitted")
        for name in ("original", "reconstruction")
    }


def test_tau_is_scipy_s_of_the_patients_who_know_the_trait(analysed):
    people = table(analysed, "cohort").set_index("participant_id")
    rsa = table(analysed, "rsa", model="cvae", trait="iq").set_index(["fit", "space"])
    for fit in ("everyone", "crossfitted"):
        rows = table(analysed, "latents", model="cvae", fit=fit, label="adhd")
        iq = people["iq"].loc[rows["participant_id"]].astype(float).to_numpy()
        rows = rows[iq != -999].assign(iq=iq[iq != -999])
        taus = []
        for _, own in rows.groupby("fold"):
            apart = pdist(own[["iq"]])
            placed = pdist(own[[c for c in own if c.startswith("salient_")]])
            taus.append((kendalltau(placed, apart).statistic, len(apart)))
        values, weights = zip(*taus, strict=True)
        row = rsa.loc[(fit, "salient")]
        assert row["n"] == (iq != -999).sum() == 20
        assert row["tau"] == pytest.approx(np.average(values, weights=weights))


def test_kinds_and_pictures_are_of_the_model_of_everyone(analysed):
    for name in ("mixture", "plane"):
        found = table(analysed, name)
        assert set(found["fit"]) == {"everyone"}
        assert set(found["space"]) == {"salient", "background", "latent"}
        assert list(found) == _traits.COLUMNS[name].split()
    best = table(analysed, "mixture").groupby(["model", "space"])
    assert (best["is_best"].sum() == 1).all()
    patients = table(analysed, "latents", label="adhd")["participant_id"]
    assert set(table(analysed, "plane")["participant_id"]) == set(patients)


def test_columns_that_are_no_trait_are_left_out_and_named(analysed):
    assert set(table(analysed, "rsa")["trait"]) == {"site", "age", "severity", "iq"}
    left = store.read_json(analysed / "rsa.json")["trait"]["LeftOut"]
    assert left == {
        "scan_id": "a name of people",
        "comment": "24 different words in 24 patients",
        "drug": "the same in all patients",
    }
    kinds = table(analysed, "rsa").groupby("trait")["kind"].first().to_dict()
    assert kinds == dict.fromkeys(("age", "severity", "iq"), "number") | {
        "site": "category"  # its names are numbers here
    }


def test_other_traits_make_their_tables_again_and_nothing_else(own):
    analysis = own / "derivatives" / "main"
    kept = [analysis / "latents.tsv", *analysis.glob("models/*/*/model.json")]
    before = [path.stat().st_mtime_ns for path in kept]
    assert run_group(config_of(own, traits=("iq", "drug"))) == 0
    assert [path.stat().st_mtime_ns for path in kept] == before
    for name in _traits.TABLES:
        assert set(table(analysis, name)["trait"]) == {"iq", "drug"}
    assert table(analysis, "rsa", trait="drug")["tau"].isna().all()
    assert "Listed are the traits" in (analysis / "latent.html").read_text()
    assert store.read_json(analysis / "rsa.json")["trait"]["LeftOut"] == {}


def test_tables_are_made_again_after_a_run_that_was_cut_off(own, monkeypatch):
    asked = config_of(own, traits=("iq",))

    def cut(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_graph, "explain_again", cut)
    with pytest.raises(KeyboardInterrupt):
        run_group(asked)
    again = []
    monkeypatch.setattr(_graph, "explain_again", lambda *_: again.append(1))
    for _ in range(2):  # the second finds all as it is asked for
        assert run_group(asked) == 0
    assert again == [1]


def test_unknown_traits_are_refused_before_anything_is_fitted(own):
    with pytest.raises(
        ConfigError, match=r"--traits is 'sevrity'.*Did you mean 'sever"
    ):
        run_group(config_of(own, traits=("sevrity",)))
    config = config_of(own, traits=("iq",))
    config = replace(
        config, analysis=replace(config.analysis, models=("control-site",), settings=())
    )
    with pytest.raises(ConfigError, match="none of --models control-site has a latent"):
        run_group(config)


def test_a_dry_run_names_the_tables_and_the_page(own, capsys):
    config = config_of(own)
    assert run_group(replace(config, run=replace(config.run, dry_run=True))) == 0
    said = capsys.readouterr().out
    for name in ("latents.tsv", "rsa.tsv", "plane.tsv", "latent.html"):
        assert f"main/{name}" in said


class Doubling:
    """A model whose salient part is what is above half of the first cell."""

    def latents(self, x):
        first = np.array([one[0].ravel()[:2] for one in x])
        return {"salient": first[:, :1] - 0.5, "background": first[:, 1:]}

    def decode(self, latents, *, with_salient=True):
        change = latents["salient"][:, 0] * with_salient
        return np.ones((len(change), 2, 2, 2)) * change[:, None, None, None]


def looked(monkeypatch=None, *, networks=1, repeat=1, is_test=True):
    rng = np.random.default_rng(0)
    x = Volumes.of([*rng.uniform(0, 1, (12, 1, 2, 2, 2)).astype(np.float32)])
    parts = {"train": [0, 1, 2], "valid": [3], "test": [9, 4, 5, 6, 7, 8]}
    shared = {"rows": [*range(10), 4, 5], "y": [1, 0] * 5, "folds": [
        {"repeat": repeat, "fold": 1} | parts]}  # fmt: skip
    job = Job(unit="m_fold-01" if is_test else "m_final", model="m", number=0, seed=0)
    model = Doubling()
    found = SimpleNamespace(
        model=model, fitted=SimpleNamespace(models=[model] * networks)
    )
    return x, _latent.look(job, found, x, shared)


def test_a_person_with_two_rows_counts_once(monkeypatch):
    x, told = looked()
    assert told["people"].tolist() == [4, 5, 6, 7, 8, 9]  # tested, and nobody else
    first = np.array([one[0].ravel()[0] for one in x])
    assert told["latent-salient"][0, 0] == pytest.approx(first[[4, 10]].mean() - 0.5)
    assert int(told["patient-n"]) == int(told["control-n"]) == 3
    pair = (np.asarray(x[[4]].read(0, 0)) + x[[10]].read(0, 0)) / 2
    others = x[[6]].read(0, 0) + x[[8]].read(0, 0)
    np.testing.assert_allclose(told["patient-sum-original"], pair + others, rtol=1e-6)
    monkeypatch.setattr(_latent, "BATCH", 2)
    again = looked()[1]
    assert set(again) == set(told)
    for name in told:  # however many are decoded at once
        np.testing.assert_allclose(again[name], told[name], rtol=1e-6)


def test_of_several_networks_the_first_is_shown_and_it_is_said():
    assert int(looked(networks=3)[1]["networks"]) == 3


def test_other_repeats_are_not_looked_at_and_the_final_model_sees_its_own():
    assert looked(repeat=2)[1] == {}
    final = looked(repeat=0, is_test=False)[1]
    assert final["people"].tolist() == [0, 1, 2, 3]
    assert final["patient-shown"].shape == (3,)
    assert "patient-shown" not in looked()[1]


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (
            ["n/a"] * 15 + ["1", "2", "3", "4", "5"],
            "known of 5 patients, fewer than 10",
        ),
        (["-999"] * 12 + [*"12345678"], "known of 8 patients, fewer than 10"),
        (["x"] * 20, "the same in all patients"),
        ([f"w{n}" for n in range(20)], "20 different words in 20 patients"),
        ([f"w{n % 3}" for n in range(20)], ""),
        ([str(n) for n in range(20)], ""),
    ],
    ids=str,
)
def test_a_column_is_a_trait_where_it_can_be_used(cells, why):
    people = pd.DataFrame({"participant_id": range(20), "what": cells})
    about = {"settings": {"cohort": {"target": "dx", "site_column": "site"}}}
    traits, left = _traits.chosen(people, (), about)
    assert left == ({"what": why} if why else {})
    assert [trait.name for trait in traits] == ([] if why else ["what"])
    assert [t.name for t in _traits.chosen(people, ("what",), about)[0]] == ["what"]
