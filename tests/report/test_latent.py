"""The page on latent spaces says what the tables hold, and keeps the two fits apart."""

import re

import numpy as np
import pandas as pd
import pytest
from nibabel.nifti1 import Nifti1Image

from bidsclf.files import store
from bidsclf.files.paths import latent_file
from bidsclf.report import figures, kinds, similarity, synthesis
from bidsclf.report.group import group_page
from bidsclf.report.latent import NAME, PARTS, spaces
from bidsclf.report.methods import methods_text
from bidsclf.report.tables import EXPLAINED, read_analysis

FITS = ("crossfitted", "everyone")
TAUS = {  # fit, space, trait -> tau and p after Holm
    "crossfitted": {"salient": {"age": (0.31, 0.01), "site": (0.01, 1.0)},
                    "background": {"age": (0.02, 1.0), "site": (0.22, 0.02)}},
    "everyone": {"salient": {"age": (0.45, 0.01), "site": (0.12, 0.04)},
                 "background": {"age": (-0.1, 0.001), "site": (0.3, 0.01)}},
}  # fmt: skip
AFFINE = np.diag([16.0, 16.0, 16.0, 1.0])
AFFINE[:3, 3] = [-88, -105, -83]


def rsa_of(name, model="cvae"):
    rows = [
        (model, fit, space, trait, "number", 120, tau, holm / 4, holm)
        for fit, of_spaces in TAUS.items()
        for space, traits in of_spaces.items()
        for trait, (tau, holm) in traits.items()
    ]
    rows += [
        (model, fit, "salient - background", trait, "number", 120, gap, 0.01, 0.04)
        for fit in FITS
        for trait, gap in (("age", 0.3), ("site", -0.2))
    ]
    names = f"model fit space trait kind n {name} p p_holm"
    return pd.DataFrame(rows, columns=names.split())


def tables_of(cohort):
    kept = cohort[cohort["included"] == "yes"].reset_index(drop=True)
    rng, who = np.random.default_rng(0), kept["participant_id"]
    label = np.where(kept["y"].astype(float) == 1, "autism", "control")
    people = pd.DataFrame({"model": "cvae", "participant_id": who, "label": label})
    numbers = pd.DataFrame(
        rng.normal(size=(len(people), 4)),
        columns=["salient_01", "salient_02", "background_01", "background_02"],
    )
    parts = [
        people.assign(fit="crossfitted", fold=1 + np.arange(len(people)) % 5),
        people.assign(fit="everyone", fold=0),
    ]
    patients = people[label == "autism"].assign(fit="everyone")[
        ["model", "fit", "participant_id"]
    ]
    bic = {"salient": [900, 930, 950], "background": [800, 700, 650]}
    bests = {"salient": (1, "tied"), "background": (2, "tied")}  # 3 are too close
    mixture = [
        ("cvae", "everyone", space, n, shape, 2, value + more, int(best == (n, shape)))
        for space, values in bic.items()
        for best in [bests[space]]
        for n, value in enumerate(values, start=1)
        for shape, more in (("full", 5), ("tied", 0))
    ]
    names = "model fit space n_components shape n_axes bic is_best"
    planes = [
        patients.assign(
            space=space,
            **{
                c: rng.normal(size=len(patients)) for c in EXPLAINED["plane"][1].split()
            },
        )
        for space in bic
    ]
    return {
        "latents": pd.concat([part.join(numbers) for part in parts]),
        "rsa": rsa_of("tau"),
        "silhouette": rsa_of("silhouette"),
        "mixture": pd.DataFrame(mixture, columns=names.split()),
        "plane": pd.concat(planes),
    }


def write_image(folder, name, values, about):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    Nifti1Image(values.astype(np.float32), AFFINE).to_filename(path)
    store.write_json(path.with_name(path.name.replace(".nii.gz", ".json")), about)


@pytest.fixture
def told(own_study):
    """Return a copy of the made-up study with the tables of a contrastive model."""
    cohort = store.read_table(own_study / "cohort.tsv", text=True)
    for name, table in tables_of(cohort).items():
        store.write_table(own_study / f"{name}.tsv", table)
    for path in [*own_study.glob("*.tsv"), own_study / "analysis.json"]:
        path.write_text(path.read_text().replace("meanmlp", "cvae"))
    left = {"trait": {"LeftOut": {"scan_id": "a name of people"}}}
    store.write_json(own_study / "rsa.json", left)
    ball = np.linalg.norm(np.indices((12, 12, 12)).T - 5.5, axis=-1) < 5
    for name, share in (("original", 0.7), ("reconstruction", 0.6), ("twin", 0.5)):
        about = {"Quantile": 0.5}
        path = latent_file("cvae", f"crossfittedpatient{name}", stat="mean")
        write_image(own_study, path, share * ball, about)
        path = latent_file("cvae", f"patient{name}", sub="sub-0004")
        write_image(own_study, path, share * ball, about)
    change = 0.1 * ball * np.sign(np.indices((12, 12, 12))[0] - 6)
    path = latent_file("cvae", "crossfittedpatientdifference", stat="mean")
    write_image(own_study, path, change, {})
    return own_study


def text_of(folder, name=NAME):
    return (folder / name).read_text(encoding="utf-8")


def test_the_page_is_linked_whole_and_drawn(told):
    group_page(told)
    assert f'<a href="{NAME}">' in text_of(told, "report.html")
    text = text_of(told)
    assert '<a href="report.html">' in text
    for hole in ("nan", "None", "Undefined", "{{", "{%"):
        assert f" {hole}" not in text, hole
        assert f">{hole}" not in text, hole
    names = {file.stem for file in (told / "figures").glob("latent-*.svg")}
    shown = ("traits", "kinds", "planes", "crossfitted-patient-mean", "patient-50")
    assert names == {f"latent-cvae-{name}" for name in shown}
    assert "scan_id (a name of people)" in text


@pytest.mark.usefixtures("undrawn")
def test_the_answer_is_of_people_whom_the_network_had_not_seen(told):
    [one] = spaces(read_analysis(told))
    assert one["answers"][0] == "Salient: age. Background: site."
    assert "people whom the network had not seen" in one["answers"][1]
    assert one["answers"][2] == "Salient in the model of everyone alone: site."
    assert one["answers"][3].startswith("The salient space shows one kind")
    assert one["people"]["folds"] == 5
    group_page(told)
    text = text_of(told)
    assert "watch its training" not in text  # nobody is held out
    assert "one network that learned from all of them, as" in text
    for said in ("had not seen", "describes these people", "UMAP measures nothing",
                 "does not prove a continuum", "does not prove kinds"):  # fmt: skip
        assert said in text, said
    auc = re.search(
        r"from the salient part alone, in people not seen: AUC ([\d.]+)", text
    )
    metrics = store.read_table(told / "metrics.tsv")
    is_own = (metrics["model"] == "cvae") & (metrics["metric"] == "auc")
    pooled = metrics[is_own & (metrics["scope"] == "pooled")]["estimate"].iloc[0]
    assert float(auc[1]) == round(pooled, 2)
    assert "control-site 0." in text


def test_dots_are_the_tau_of_each_fit_and_space(told, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "traits", lambda *given: drawn.append(given) or "")
    similarity.traits(read_analysis(told), "cvae")
    [(panels, _)] = drawn
    assert list(panels) == [similarity.FITS[fit] for fit in FITS]
    for fit in FITS:
        dots = panels[similarity.FITS[fit]]
        found = {(dot.space, dot.trait): (dot.value, dot.is_sure) for dot in dots}
        assert found == {
            (space, trait): (tau, holm < 0.05)
            for space, traits in TAUS[fit].items()
            for trait, (tau, holm) in traits.items()
        }
        assert dots[0].trait == "age"  # more salient than background


def test_a_trait_below_0_is_never_called_carried(told):
    analysis = read_analysis(told)
    assert similarity.carried(analysis, "cvae", "everyone", "background") == ["site"]


def test_the_table_says_which_is_best_and_the_curve_is_the_least_of_shapes(
    told, monkeypatch
):
    drawn = []
    monkeypatch.setattr(figures, "kinds", lambda *given: drawn.append(given) or "")
    analysis = read_analysis(told)
    assert kinds.kinds(analysis, "cvae")["best"] == {"salient": 1, "background": 2}
    assert kinds.gain(analysis, "cvae", "background") == 100
    [(curves,)] = drawn
    number, bic, best = curves["background"]
    assert (number.tolist(), bic.tolist(), best) == ([1, 2, 3], [800, 700, 650], 2)


def test_pictures_have_the_colour_of_the_person(told, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "planes", lambda *given: drawn.append(given) or "")
    analysis = read_analysis(told)
    assert kinds.planes(analysis, "cvae")["by"] == "age"
    [(rows, shown)] = drawn
    plane = analysis.tables["plane"]
    own = plane[plane["space"] == "salient"]
    age = analysis.kept.set_index("participant_id")["age"].astype(float)
    np.testing.assert_array_equal(shown.values, age[own["participant_id"]])
    np.testing.assert_array_equal(rows["salient"]["UMAP"], own[["umap_1", "umap_2"]])


@pytest.mark.usefixtures("undrawn")
def test_too_many_tests_for_the_permutations_are_said(told):
    about = store.read_json(told / "analysis.json")
    about["settings"]["analysis"]["n_permutations"] = 100
    store.write_json(told / "analysis.json", about)
    said = similarity.out_of_reach(read_analysis(told), "cvae")
    assert "With 6 tests a fit and 100 permutations" in said
    assert "below 0.059" in said
    group_page(told)
    assert said in text_of(told)
    about["settings"]["analysis"]["n_permutations"] = 1000
    store.write_json(told / "analysis.json", about)
    assert similarity.out_of_reach(read_analysis(told), "cvae") == ""


@pytest.mark.usefixtures("undrawn")
def test_networks_before_harmonization_are_said(told):
    about = store.read_json(told / "analysis.json")
    fits = {"model": "cvae", "unit": "cvae_final", "notes": {"members": [{}, {}, {}]}}
    about["notes"].append(fits)
    store.write_json(told / "analysis.json", about)
    group_page(told)
    assert "each fit has 3 networks" in text_of(told)
    assert "before harmonization" in text_of(told)
    assert "(where embeddings were harmonized, from all but one part)" in text_of(told)
    rows = store.read_table(told / "rsa.tsv")
    store.write_table(told / "rsa.tsv", rows[rows["fit"] == "everyone"])
    [one] = spaces(read_analysis(told))
    assert "in people most of whom the network had seen" in one["answers"][1]


@pytest.mark.usefixtures("undrawn")
def test_several_gaussians_are_said_with_how_much_better_they_are(told):
    table = store.read_table(told / "mixture.tsv")
    is_salient = table["space"] == "salient"
    is_two = is_salient & (table["n_components"] == 2)
    is_best = table["is_best"].mask(
        is_salient, (table["n_components"] == 2).astype(int)
    )
    table = table.assign(is_best=is_best)
    for bic, said in ((893.0, "7.0 below that of one (weak: under 10)"),
                      (850.0, "50.0 below that of one:")):  # fmt: skip
        store.write_table(
            told / "mixture.tsv", table.assign(bic=table["bic"].mask(is_two, bic))
        )
        [one] = spaces(read_analysis(told))
        assert "best by 2 Gaussians" in one["answers"][3]
        assert said in one["answers"][3]


def test_a_difference_is_drawn_as_one(told, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        figures, "changes", lambda images, *_, signed: drawn.append((images, signed))
    )
    synthesis.images(read_analysis(told), "cvae")
    images, signed = drawn[0]
    assert set(signed) & set(images) == {list(images)[-1]}
    assert list(images)[-1].startswith("what the salient part adds")


def test_a_damaged_image_is_named_and_the_others_drawn(told):
    path = told / latent_file("cvae", "patienttwin", sub="sub-0004")
    path.write_bytes(path.read_bytes()[:100])
    mean, person = synthesis.images(read_analysis(told), "cvae")
    assert mean["figure"] is not None
    assert person["figure"] is None
    assert path.name in person["fault"]


@pytest.mark.parametrize("name", [*PARTS, "latents"])
@pytest.mark.parametrize("damage", ["absent", "empty", "no columns", "no numbers"])
@pytest.mark.usefixtures("undrawn")
def test_no_table_breaks_the_page(told, name, damage):
    path = told / f"{name}.tsv"
    table = store.read_table(path)
    path.unlink()
    if damage == "empty":
        store.write_table(path, table.head(0))
    elif damage == "no columns":
        store.write_table(path, table.iloc[:, :1])
    elif damage == "no numbers":
        numbers = EXPLAINED[name][1].split()
        store.write_table(path, table.assign(**dict.fromkeys(numbers, "x")))
    group_page(told)
    assert methods_text(read_analysis(told))
    assert (told / NAME).exists() == (name != "latents" or damage == "no numbers")


@pytest.mark.usefixtures("undrawn")
def test_methods_tell_what_was_looked_for(told):
    text = methods_text(read_analysis(told))
    assert "## Latent spaces" in text
    assert "Each trait (age, site) was compared" in text
    assert "against 1000 permutations of people" in text
    for work in ("Abid", "Aglinskas", "Mantel", "Kriegeskorte", "Rousseeuw", "Fraley",
                 "McInnes"):  # fmt: skip
        assert work in text, work
    for name in ("latents", *PARTS):
        (told / f"{name}.tsv").unlink()
    assert "Latent spaces" not in methods_text(read_analysis(told))
