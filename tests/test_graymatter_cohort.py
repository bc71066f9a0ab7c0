"""People joined with grey-matter maps: alone, beside scans, and never unsaid."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bidsclf.cohort import build_cohort, load_people, source_of
from bidsclf.config import AnalysisConfig, CohortConfig, Config
from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.files import images, store
from bidsclf.files.choice import check_kind, read_like
from bidsclf.models._base import find
from bidsclf.models._rows import load_rows, row_digests, save_rows
from bidsclf.models._volumes import Volumes
from bidsclf.workflows import _analysis, _inputs, _preflight, group, predict

LABELS = ("01", "02", "03", "04", "05", "06")
PEOPLE = pd.DataFrame(
    {
        "participant_id": [f"sub-{label}" for label in reversed(LABELS)],
        "diagnosis": ["autism", "control"] * 3,
        "site": "NYU",
    }
)
AFFINE = np.diag([24.0, 24.0, 24.0, 1.0])
N = 4
SIDECAR = {"MapPipeline": "fmriprep", "Modulated": False, "GMSmoothingFWHM": 0}
SIDECAR |= {"GridSize": [N] * 3, "GridBoxMM": [[-96, -113, -91], [96, 79, 101]]}
CAT12 = {"MapPipeline": "cat12", "Modulated": True}
GREY, SERIES = ["graymatter"], ["timeseries"]


def map_of(label, session=""):
    seed = int(label) * 10 + int(session or 0)
    return np.random.default_rng(seed).random((N, N, N), np.float32)


def named(label, session="", extra="", desc="iso4", space="MNI"):
    ses = f"_ses-{session}" if session else ""
    return f"sub-{label}{ses}{extra}_space-{space}_label-GM_desc-{desc}_probseg.nii.gz"


def path_of(out, label, session="", **words):
    folder = out / f"sub-{label}" / (f"ses-{session}" if session else "") / "anat"
    return folder / named(label, session, **words)


def add(out, label, session="", *, values=None, affine=AFFINE, said=None, **words):
    path = path_of(out, label, session, **words)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = map_of(label, session) if values is None else values
    nib.save(nib.Nifti1Image(values, affine), path)
    store.write_json(path.with_suffix("").with_suffix(".json"), SIDECAR | (said or {}))
    return path


def add_scan(
    out, label, session="", run="1", space="OTHER", desc="simple", atlas="aal"
):
    """Write a series, its quality and its covariance, of two regions."""
    ses = f"_ses-{session}" if session else ""
    folder = out / f"sub-{label}" / (f"ses-{session}" if session else "") / "func"
    stem = f"sub-{label}{ses}_task-rest_run-{run}_space-{space}"
    series = np.random.default_rng(int(label + run)).normal(size=(9, 2))
    series[:, 1] = np.nan if (label, run) == ("02", "1") else series[:, 1]
    name = f"{stem}_atlas-{atlas}_stat-mean_desc-{desc}_timeseries.tsv"
    table = store.write_series(folder / name, series, ("insula", "cuneus"))
    store.write_json(table.with_suffix(".json"), {"SamplingFrequency": 0.5})
    quality = pd.DataFrame([{"mean_fd": 0.1 * int(run), "n_volumes": 9}])
    store.write_table(folder / f"{stem}_desc-{desc}_quality.tsv", quality)
    return table


@pytest.fixture
def study(tmp_path):
    """Return a seam where nobody has a scan."""
    PEOPLE.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    for label in LABELS:
        add(tmp_path, label)
    return tmp_path


@pytest.fixture
def both(study):
    """Give the first four a scan in another space, the second two of them."""
    for label in LABELS[:4]:
        add_scan(study, label)
    add_scan(study, "02", run="2")
    return study


def check_maps(cohort, expected):
    loaded = cohort.load("graymatter")
    assert loaded.shapes == [(1, N, N, N)] * len(expected)
    for found, values in zip(loaded, expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, values[np.newaxis], atol=1e-6)


@pytest.mark.parametrize("inputs", [[], GREY, ["graymatter", "phenotype", "motion"]])
def test_maps_alone_make_a_cohort_in_the_order_of_ids(study, inputs):
    cohort = build_cohort(study, CohortConfig(), inputs)
    assert cohort.people["participant_id"].tolist() == [f"sub-{one}" for one in LABELS]
    assert cohort.people["n_missing_regions"].tolist() == [0] * 6
    assert cohort.people["n_runs"].tolist() == [1] * 6
    assert cohort.regions == ()
    assert cohort.lengths("graymatter").tolist() == [1] * 6
    assert cohort.repetition_times("graymatter") == [None] * 6
    check_maps(cohort, [map_of(label) for label in LABELS])
    with pytest.raises(InputError, match=r"no person has a quality\.tsv with mean_fd"):
        cohort.load("motion")


def test_a_map_is_read_when_it_is_asked_for(study):
    loaded = build_cohort(study, CohortConfig(), GREY).load("graymatter")
    some = loaded[np.array([3, 0])]
    path_of(study, "01").unlink()
    np.testing.assert_array_equal(some[0][0], map_of("04"))
    with pytest.raises(InputError, match=r"sub-01.*not readable as an image"):
        some[1]


def test_a_description_says_kind_space_and_grid(both):
    cohort = build_cohort(both, CohortConfig())
    told = cohort.describe("graymatter")
    assert json.loads(json.dumps(told)) == told
    assert told == {
        "input": "graymatter",
        "desc": "iso4",
        "space": "MNI",
        "preprocessing": {k: v for k, v in SIDECAR.items() if k != "GridSize"},
        "shape": [1, N, N, N],
        "affine": AFFINE.tolist(),
    }
    series = cohort.describe("timeseries")
    assert {k: series[k] for k in ("space", "desc", "atlas")} == {
        "space": "OTHER",
        "desc": "simple",
        "atlas": "aal",
    }
    assert not {"gm_desc", "gm_space", "grid"} & set(series)


def test_a_map_is_in_every_scan_and_who_has_none_is_a_row(both):
    cohort = build_cohort(both, CohortConfig(runs="keep"))
    files = cohort.files[["participant_id", "run", "task"]].to_numpy().tolist()
    assert files == [
        ["sub-01", "1", "rest"],
        ["sub-02", "1", "rest"],
        ["sub-02", "2", "rest"],
        ["sub-03", "1", "rest"],
        ["sub-04", "1", "rest"],
        ["sub-05", "", ""],
        ["sub-06", "", ""],
    ]
    whose = ("01", "02", "02", "03", "04", "05", "06")
    check_maps(cohort, [map_of(label) for label in whose])
    assert cohort.people["n_missing_regions"].tolist() == [0] * 6
    assert cohort.people["n_runs"].tolist() == [1, 2, 1, 1, 1, 1]
    check_maps(build_cohort(both, CohortConfig()), [map_of(one) for one in LABELS])


def test_a_region_counts_as_missing_over_scans_and_not_over_maps(study):
    for label in LABELS:
        add_scan(study, label, session="1")
        add(study, label, "2")  # a session without a scan
    cohort = build_cohort(study, CohortConfig())
    assert cohort.people["n_missing_regions"].tolist() == [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("runs", ["average", "keep"])
def test_models_of_series_and_of_maps_take_who_has_both(both, runs):
    path_of(both, "03").unlink()
    inputs = ["timeseries", "graymatter", "motion"]
    cohort = build_cohort(both, CohortConfig(runs=runs), inputs)
    assert cohort.people["participant_id"].tolist() == ["sub-01", "sub-02", "sub-04"]
    assert cohort.excluded.to_numpy().tolist() == [
        ["sub-03", "no scan with graymatter"],
        ["sub-05", "no scan with timeseries"],
        ["sub-06", "no scan with timeseries"],
    ]
    (note,) = cohort.notes
    assert note.startswith("3 people are left out, who have no scan with graymatter, t")
    assert cohort.rows.tolist() == ([0, 1, 1, 2] if runs == "keep" else [0, 1, 2])
    sizes = [len(cohort.load(name)) for name in inputs]
    assert sizes == [len(cohort.rows)] * 3
    motion = cohort.load("motion")["mean_fd"].tolist()
    assert motion == pytest.approx(
        [0.1, 0.1, 0.2, 0.1] if runs == "keep" else [0.1, 0.15, 0.1]
    )


def test_maps_go_to_the_scans_of_their_session(study):
    for label in LABELS:
        path_of(study, label).unlink()
        for session in "12":
            add_scan(study, label, session)
            add(study, label, session)
    add(study, "03")  # of no session: of all that have none of their own
    path_of(study, "03", "2").unlink()
    kept = build_cohort(study, CohortConfig(runs="keep"))
    expected = [map_of(label, session) for label in LABELS for session in "12"]
    expected[5] = map_of("03")
    check_maps(kept, expected)
    averaged = build_cohort(study, CohortConfig())
    means = [
        (one + other) / 2 for one, other in zip(*[iter(expected)] * 2, strict=True)
    ]
    check_maps(averaged, means)
    first = build_cohort(study, CohortConfig(session_label=("1",)), GREY)
    only = [map_of(label, "1") for label in LABELS]
    only[2] = (map_of("03") + map_of("03", "1")) / 2
    check_maps(first, only)


def test_the_same_file_counts_once_in_a_mean(study):
    for run, session in enumerate("11122", start=1):
        add_scan(study, "01", session, run=str(run))
    path_of(study, "01").unlink()
    for session in "12":
        add(study, "01", session)
    cohort = build_cohort(study, CohortConfig())
    found = cohort.load("graymatter")[0][0]
    expected = (map_of("01", "1").astype(float) + map_of("01", "2")) / 2
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_second_map_of_a_session_is_no_less_read(both):
    add(both, "01", extra="_run-2", values=map_of("09"))
    cohort = build_cohort(both, CohortConfig())
    found = cohort.load("graymatter")[0][0]
    np.testing.assert_allclose(found, (map_of("01") + map_of("09")) / 2, atol=1e-6)
    cohort = build_cohort(both, CohortConfig(run_id=("1",), task_id=("rest",)))
    assert cohort.people["n_runs"].tolist() == [2, 1, 1, 1, 1, 1]


def test_the_kind_of_maps_is_chosen_apart_from_that_of_series(both):
    for label in LABELS:
        add(both, label, desc="cat12iso4", said=CAT12, values=3 * map_of(label))
    with pytest.raises(ConfigError, match=r"2 kinds: cat12iso4.*, iso4.*--gm-desc"):
        build_cohort(both, CohortConfig(), GREY)
    config = CohortConfig(gm_desc="cat12iso4")
    check_maps(build_cohort(both, config, GREY), [3 * map_of(one) for one in LABELS])
    with pytest.raises(ConfigError, match=r"--gm-desc iso9: .*there are: cat12iso4_s"):
        build_cohort(both, CohortConfig(gm_desc="iso9"), GREY)
    assert len(build_cohort(both, CohortConfig(), SERIES).people) == 4
    config = CohortConfig(gm_desc="iso4", desc="simple", space="OTHER", atlas="aal")
    cohort = build_cohort(both, config, ["timeseries", "graymatter"])
    assert cohort.describe("graymatter")["desc"] == "iso4"
    assert cohort.describe("timeseries")["desc"] == "simple"


def test_maps_in_two_spaces_are_chosen_by_their_whole_name(study):
    for label in LABELS:
        add(study, label, space="MNI6_res-2", values=map_of(label) / 2)
    with pytest.raises(ConfigError, match=r"iso4_space-MNI, iso4_space-MNI6_res-2;"):
        build_cohort(study, CohortConfig(gm_desc="iso4"), GREY)
    config = CohortConfig(gm_desc="iso4_space-MNI6_res-2")
    cohort = build_cohort(study, config, GREY)
    told = cohort.describe("graymatter")
    assert (told["desc"], told["space"], told["res"]) == ("iso4", "MNI6", "2")
    assert read_like(CohortConfig(), told) == {"gm_desc": config.gm_desc}
    check_maps(cohort, [map_of(label) / 2 for label in LABELS])


def test_models_of_maps_alone_ask_for_no_choice_between_series(both):
    for label in LABELS[:5]:
        add_scan(both, label, atlas="cc200")
        add_scan(both, label, space="THIRD", desc="gsr")
    with pytest.raises(ConfigError, match="--atlases"):
        build_cohort(both, CohortConfig())
    cohort = build_cohort(both, CohortConfig(task_id=("rest",)), ["graymatter", "site"])
    assert len(cohort.people) == 6
    assert set(cohort.source) == {"gm_desc", "gm_space", "preprocessing"}


def test_who_has_scans_and_no_map_is_left_out_by_name(both):
    path_of(both, "04").unlink()
    path_of(both, "06").unlink()
    cohort = build_cohort(both, CohortConfig(), GREY)
    assert cohort.excluded.to_numpy().tolist() == [
        ["sub-04", "no scan with graymatter"],
        ["sub-06", "no features among those chosen"],
    ]
    with pytest.raises(InputError, match=r"1 people have not what the model .*sub-04"):
        load_people(both, CohortConfig(), GREY)
    with pytest.raises(InputError, match=r"1 people .*sub-05 \(no scan with timeser"):
        load_people(both, CohortConfig(), SERIES)
    chosen = CohortConfig(participant_label=("01", "02", "03"))
    for inputs in (GREY, SERIES, ["phenotype"]):
        assert len(load_people(both, chosen, inputs).people) == 6 - 3
    assert len(build_cohort(both, CohortConfig(), ["phenotype"]).people) == 5


def test_where_there_are_only_maps_models_of_series_are_refused(study):
    with pytest.raises(NothingMatched, match=r"take fisherz, and there are only grey-"):
        build_cohort(study, CohortConfig(), ["fisherz", "phenotype"])
    for label in LABELS:
        path_of(study, label).unlink()
        add_scan(study, label)
    with pytest.raises(NothingMatched, match=r"take graymatter, .*only tables or vol"):
        build_cohort(study, CohortConfig(), GREY)


BAD = [
    ("nan", {"values": np.where(map_of("03") > 0.5, np.nan, 0.1)}, "are not finite"),
    ("zero", {"values": np.zeros((N, N, N), np.float32)}, "all values are 0"),
    ("above", {"values": map_of("03") + 0.5}, "values from 0.5.* has 0 to 1"),
    ("below", {"values": map_of("03") - 0.5}, "values from -0.4.* has 0 to 1"),
    ("negative", {"values": map_of("03") - 0.5, "said": CAT12}, "modulated.* 0 to 10"),
    ("raw", {"values": 300 * map_of("03"), "said": CAT12}, "modulated.* 0 to 10"),
    ("4d", {"values": map_of("03")[..., np.newaxis]}, r"image of shape \(4, 4, 4, 1\)"),
]


@pytest.mark.parametrize(
    ("change", "reason"), [b[1:] for b in BAD], ids=[b[0] for b in BAD]
)
def test_one_bad_map_costs_one_person(both, change, reason):
    path = add(both, "03", **change)
    for inputs in (GREY, ["graymatter", "motion"]):
        cohort = build_cohort(both, CohortConfig(), inputs)
        ((who, told),) = cohort.excluded.to_numpy().tolist()
        assert who == "sub-03"
        assert told.startswith(path.name)
        assert re.search(reason, told)
    with pytest.raises(InputError, match=rf"1 people have .*read: sub-03 .*{reason}"):
        load_people(both, CohortConfig(), GREY)
    assert len(
        load_people(both, CohortConfig(participant_label=("03",)), SERIES).people
    )


@pytest.mark.parametrize("harm", [lambda b: b[:-4], lambda b: b[: len(b) // 2]])
def test_a_damaged_file_costs_one_person(study, harm):
    path = path_of(study, "03")
    path.write_bytes(harm(path.read_bytes()))
    told = build_cohort(study, CohortConfig(), GREY).excluded.to_numpy().tolist()
    assert told[0][0] == "sub-03"
    assert f"{path.name}: not readable as an image" in told[0][1]


def test_what_rounding_put_outside_is_put_back(study):
    values = map_of("03")
    values[0, 0, :2] = -0.0005, 1.0005
    add(study, "03", values=values)
    found = build_cohort(study, CohortConfig(), GREY).load("graymatter")[2][0]
    np.testing.assert_array_equal(found, np.clip(values, 0, 1))


def test_a_map_shared_by_scans_is_read_once_when_planned(both, monkeypatch):
    read, seen = images.read_map, []
    monkeypatch.setattr(
        images, "read_map", lambda path: seen.append(path) or read(path)
    )
    build_cohort(both, CohortConfig(runs="keep"), ["timeseries", "graymatter"])
    assert len(seen) == len(set(seen)) == 4


OTHERWISE = [
    ({"values": np.ones((N, N, 3))}, r"1 of 6 people have grey-matter maps on another"),
    ({"affine": AFFINE + np.eye(4, k=3)}, r"maps on another grid .*sub-03"),
    ({"said": {"GMSmoothingFWHM": 8}}, r"sub-03 \(GMSmoothingFWHM 8 against 0\)"),
    ({"said": {"Modulated": True}}, r"sub-03 \(Modulated True against False\)"),
    ({"said": {"MapPipeline": "vbm"}}, r"sub-03 \(MapPipeline vbm against fmriprep\)"),
    ({"said": {"GridBoxMM": [[0] * 3, [1] * 3]}}, r"sub-03 \(GridBoxMM "),
]


@pytest.mark.parametrize(("change", "message"), OTHERWISE)
def test_maps_agree_where_they_are_an_input_and_only_there(both, change, message):
    add(both, "03", **change)
    with pytest.raises(InputError, match=message):
        build_cohort(both, CohortConfig(), GREY)
    for inputs in (["timeseries"], ["phenotype"], ["motion", "site"]):
        assert build_cohort(both, CohortConfig(), inputs).people is not None


@pytest.mark.parametrize(("change", "_"), OTHERWISE)
def test_a_model_takes_no_other_maps_than_its_own(study, tmp_path, change, _):
    told = build_cohort(study, CohortConfig(), GREY).describe("graymatter")
    new = tmp_path / "new"
    add(new, "09")
    load_people(new, CohortConfig(), GREY).check_like(told)
    add(new, "09", **change)
    with pytest.raises(InputError, match="fitted on other features than these: "):
        load_people(new, CohortConfig(), GREY).check_like(told)


def test_a_model_takes_no_maps_of_another_space(study, tmp_path):
    told = build_cohort(study, CohortConfig(), GREY).describe("graymatter")
    add(tmp_path / "new", "09", space="MNI6")
    with pytest.raises(ConfigError, match=r"--gm-desc iso4_space-MNI: no features"):
        load_people(
            tmp_path / "new", CohortConfig(**read_like(CohortConfig(), told)), GREY
        )
    with pytest.raises(InputError, match="these: space MNI against MNI6"):
        load_people(tmp_path / "new", CohortConfig(), GREY).check_like(told)


@pytest.mark.parametrize("label", ["autism", "control"])
def test_one_group_alone_is_refused(study, label):
    PEOPLE.assign(diagnosis=label).to_csv(
        study / "participants.tsv", sep="\t", index=False
    )
    message = rf"one value among those with features: {label} \(6 people\); a class"
    with pytest.raises(InputError, match=message):
        build_cohort(study, CohortConfig(), GREY)
    others = PEOPLE["diagnosis"] == label
    for who in PEOPLE["participant_id"][others]:
        add(study, who.removeprefix("sub-"), values=np.zeros((N, N, N)))
    PEOPLE.to_csv(study / "participants.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match=r"one value among those with features"):
        build_cohort(study, CohortConfig(), GREY)


def test_people_outside_the_study_are_read_as_those_in_it(study):
    for label in LABELS:
        add(study, label, desc="cat12iso4", said=CAT12)
    wide = PEOPLE.assign(wave=["b", "b", "a", "a", "a", "a"])
    wide.to_csv(study / "participants.tsv", sep="\t", index=False)
    config = CohortConfig(
        include="wave == 'a'", source="wave == 'b'", gm_desc="cat12iso4"
    )
    cohort = build_cohort(study, config, GREY)
    source = source_of(study, config, cohort, GREY)
    assert source.people["participant_id"].tolist() == ["sub-05", "sub-06"]
    check_maps(source, [map_of("05"), map_of("06")])
    add(study, "05", desc="cat12iso4", said=CAT12, values=map_of("01"))
    assert source_of(study, config, cohort, GREY).people.shape[0] == 1  # a twin
    for label in ("05", "06"):
        add(study, label, desc="cat12iso4", said=CAT12 | {"GMSmoothingFWHM": 4})
    with pytest.raises(
        InputError, match=r"not those .*: GMSmoothingFWHM 4 against 0\."
    ):
        source_of(study, config, cohort, GREY)


def test_predict_reads_the_files_that_its_model_knows(both):
    for label in LABELS:
        add(both, label, desc="cat12iso4", said=CAT12)
    said, fitted = CohortConfig(gm_desc="iso4"), SimpleNamespace(covariates=())
    cohort = build_cohort(both, said, ["timeseries", "graymatter"])
    context = {"feature": cohort.describe("graymatter")}
    like = predict._like(CohortConfig(), context, fitted)
    assert (like.gm_desc, like.desc, like.atlas) == ("iso4_space-MNI", None, None)
    check_maps(load_people(both, like, GREY), [map_of(label) for label in LABELS])
    asked = predict._like(CohortConfig(gm_desc="cat12iso4"), context, fitted)
    with pytest.raises(InputError, match="MapPipeline fmriprep against cat12"):
        load_people(both, asked, GREY).check_like(context["feature"])
    context = {"feature": cohort.describe("timeseries")}
    like = predict._like(CohortConfig(participant_label=("01", "02")), context, fitted)
    assert (like.gm_desc, like.desc, like.atlas) == (None, "simple", "aal")
    load_people(both, like, SERIES).check_like(context["feature"])


def test_a_choice_of_maps_that_no_model_takes_is_refused():
    cohort = CohortConfig(gm_desc="iso64")
    config = Config(bids_dir=".", output_dir=".", level="group", cohort=cohort)
    with pytest.raises(
        ConfigError, match=r"--gm-desc is iso64 and acts on none of --m"
    ):
        _preflight.check_models(config)
    given = AnalysisConfig(models=("vae", "fc-svm"))
    _preflight.check_models(replace(config, analysis=given))


def test_the_store_holds_what_the_cohort_reads(study):
    loaded = build_cohort(study, CohortConfig(), GREY).load("graymatter")
    save_rows(study / "rows", Volumes.of(loaded))
    stored = load_rows(study / "rows")
    assert row_digests(stored) == row_digests(loaded)
    assert stored.source.names[2] == named("03")


def planned(out, *models, runs="average"):
    """Check a plan of models, as before anything is fitted."""
    config = Config(
        bids_dir=".", output_dir=".", level="group", cohort=CohortConfig(runs=runs),
        analysis=AnalysisConfig(models=models),
    )  # fmt: skip
    inputs = {find(model).input for model in models}
    _inputs.check(config, build_cohort(out, config.cohort, inputs))


def test_a_map_is_not_learned_from_once_a_run(both):
    message = r"--runs keep .* 1 rows repeat .*with the others \(control-motion\)"
    with pytest.raises(ConfigError, match=message):
        planned(both, "cvae", "control-motion", "control-site", runs="keep")
    planned(both, "cvae", "control-motion", "control-site")
    planned(both, "vae", "control-phenotype", runs="keep")
    planned(both, "meanmlp", "control-motion", runs="keep")


def test_maps_of_each_session_are_rows_beside_their_scans(study):
    for label in LABELS:
        path_of(study, label).unlink()
        for session in "12":
            add_scan(study, label, session)
            add(study, label, session)
    planned(study, "cvae", "control-motion", runs="keep")


@pytest.mark.parametrize(
    ("model", "column"),
    [
        ("control-motion", "quality"),
        ("fc-svm", "fisherz"),
        ("resnet3d-a-bigru", "volume"),
    ],
)
def test_where_there_are_only_maps_a_model_of_scans_is_refused_first(
    study, model, column
):
    with pytest.raises(InputError, match=rf"{model} takes .*nobody .* of {column} bel"):
        planned(study, "cvae", model)
    planned(study, "cvae", "control-phenotype")


def test_where_there_are_only_scans_a_model_of_maps_is_refused_first(study):
    for label in LABELS:
        path_of(study, label).unlink()
        add_scan(study, label)
    with pytest.raises(InputError, match="vae takes graymatter, and nobody has"):
        planned(study, "meanmlp", "vae")


def test_a_model_says_how_its_maps_are_made_where_there_are_others(study, tmp_path):
    told = build_cohort(study, CohortConfig(), GREY).describe("graymatter")
    check_kind(study, CohortConfig(), told)
    new = tmp_path / "new"
    add(new, "09", desc="iso64")
    message = (
        rf"fitted on grey-matter maps iso4_space-MNI, and .* only iso64_space-MNI\. Run"
        rf" the participant level for maps of fmriprep with --gm-size {N}\."
    )
    with pytest.raises(ConfigError, match=message):
        check_kind(new, CohortConfig(), told)
    check_kind(new, CohortConfig(gm_desc="iso64"), told)
    check_kind(new, CohortConfig(), {"input": "timeseries"})


def test_plans_and_predictions_are_checked_before_anything_is_read(
    study, tmp_path, monkeypatch
):
    told = build_cohort(study, CohortConfig(), GREY).describe("graymatter")
    new = tmp_path / "new"
    add(new, "09", desc="iso64")
    bundle = {"variant": "cvae", "context": {"feature": told}}
    fitted = SimpleNamespace(covariates=(), harmonizer=None)
    monkeypatch.setattr(predict, "load_bundle", lambda _: (fitted, bundle))
    monkeypatch.setattr(_analysis, "seam", lambda config: config.bids_dir)
    plan = Config(
        bids_dir=study, output_dir=study, level="group", model=study,
        analysis=AnalysisConfig(models=("cvae", "control-motion")),
    )  # fmt: skip
    with pytest.raises(InputError, match="control-motion takes motion, and nobody"):
        group._study(plan)
    with pytest.raises(ConfigError, match="fitted on grey-matter maps iso4_space-MNI"):
        predict._gather(replace(plan, bids_dir=new, level="predict"))
