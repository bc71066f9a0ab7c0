"""People joined with features: who is in, who is out and why, in which order."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bidsclf.cohort import build_cohort, load_people
from bidsclf.config import CohortConfig
from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.files import store
from bidsclf.files.derivatives import (
    AtlasOutput,
    Roots,
    ScanOutput,
    write_features,
    write_roots,
)
from bidsclf.files.inputs import covariances
from bidsclf.files.kinds import _matching

REGIONS = ("insula", "cuneus", "caudate", "pons")
PEOPLE = pd.DataFrame(
    {
        "participant_id": ["sub-04", "sub-02", "sub-03", "sub-01"],
        "diagnosis": ["control", "autism", "control", "autism"],
        "site": ["NYU", "NYU", "KKI", "KKI"],
        "Age_at_scan": ["9.5", "n/a", "11", "12.25"],
        "SEX": ["1", "2", "1", "n/a"],
    }
)


def series_of(label: str, run: str = "1") -> np.ndarray:
    seed = int.from_bytes((label + run).encode(), "little") % 2**32
    return np.random.default_rng(seed).normal(size=(30, len(REGIONS)))


def add(out: Path, label: str, *, run="1", missing=(), regions=REGIONS, **settings):
    """Write the features of one run; settings replace fields of the scan."""
    series = series_of(label, run)
    series[:, list(missing)] = np.nan
    with np.errstate(invalid="ignore"):
        r = np.corrcoef(series.T)
    atlas = AtlasOutput(
        atlas=settings.pop("atlas", "aal"),
        regions=regions,
        series=series[:, : len(regions)],
        matrices={
            "fisherz": r[: len(regions), : len(regions)],
            "covariance": np.cov(series.T)[: len(regions), : len(regions)],
        },
        digest="abc",
    )
    fields = {
        "entities": {"sub": label, "task": "rest", "run": run},
        "space": "MNI",
        "desc": "simple",
        "tr_s": 2.0,
        "atlases": (atlas,),
        "quality": {"mean_fd": 0.1 * int(run), "n_volumes": 30},
        "meta": {"Strategy": "simple", "SmoothingFWHM": 0},
    }
    write_features(out, ScanOutput(**(fields | settings)))


@pytest.fixture(scope="module")
def everyone(tmp_path_factory):
    """Four people with one run each, written once."""
    folder = tmp_path_factory.mktemp("everyone")
    for label in ("01", "02", "03", "04"):
        add(folder, label)
    return folder


@pytest.fixture
def study(everyone):
    def make(out: Path, people=PEOPLE, labels=("01", "02", "03", "04")) -> Path:
        people.to_csv(out / "participants.tsv", sep="\t", index=False, na_rep="n/a")
        for label in labels:
            shutil.copytree(everyone / f"sub-{label}", out / f"sub-{label}")
        return out

    return make


def test_the_order_is_that_of_the_ids_not_of_the_tables(tmp_path, study):
    cohort = build_cohort(study(tmp_path), CohortConfig())
    assert cohort.people["participant_id"].tolist() == [
        f"sub-0{i}" for i in range(1, 5)
    ]
    assert cohort.people["y"].tolist() == [1, 1, 0, 0]
    assert cohort.people["site"].tolist() == ["KKI", "NYU", "KKI", "NYU"]
    assert cohort.people["Age_at_scan"].tolist()[2] == 11
    assert cohort.labels == {0: "control", 1: "autism"}
    assert cohort.rows.tolist() == [0, 1, 2, 3]
    expected = np.corrcoef(series_of("03").T)[np.triu_indices(4, k=1)]
    np.testing.assert_allclose(cohort.load("fisherz")[2], expected, rtol=1e-5)


def test_roots_and_cohort_agree_on_participants(tmp_path):
    write_roots(tmp_path, Roots(participants=PEOPLE))
    for label in ("01", "02", "03", "04"):
        add(tmp_path, label)
    assert len(build_cohort(tmp_path, CohortConfig()).people) == 4


def test_everyone_left_out_has_a_reason(tmp_path, study):
    rows = [
        ["05", "control", "NYU"],
        ["06", "n/a", "NYU"],
        ["07", "autism", " "],
        ["09", "autism", "KKI"],
    ]
    more = pd.DataFrame(rows, columns=["participant_id", "diagnosis", "site"])
    study(tmp_path, pd.concat([PEOPLE, more]))
    for label in ("06", "07", "08"):
        add(tmp_path, label)
    add(tmp_path, "09", missing=range(4))
    cohort = build_cohort(tmp_path, CohortConfig())
    assert dict(cohort.excluded.to_numpy()) == {
        "sub-05": "no features among those chosen",
        "sub-06": "no diagnosis in participants.tsv",
        "sub-07": "no site in participants.tsv",
        "sub-08": "no row in participants.tsv",
        "sub-09": "no region of the atlas is covered",
    }
    table = cohort.table().set_index("participant_id")
    assert (table["included"] == "yes").sum() == len(cohort.people) == 4
    assert table.loc["sub-06", ["included", "reason"]].tolist() == [
        "no",
        "no diagnosis in participants.tsv",
    ]
    assert table["reason"].isna().sum() == 4


@pytest.mark.parametrize("runs", ["average", "keep"])
def test_runs_are_averaged_or_kept_but_the_person_is_the_unit(tmp_path, runs, study):
    study(tmp_path)
    add(tmp_path, "02", run="2")
    cohort = build_cohort(tmp_path, CohortConfig(runs=runs))
    assert cohort.people["n_runs"].tolist() == [1, 2, 1, 1]
    edges, series = cohort.load("fisherz"), cohort.load("timeseries")
    above = np.triu_indices(4, k=1)
    first, second = (np.corrcoef(series_of("02", r).T)[above] for r in "12")
    if runs == "average":
        assert cohort.rows.tolist() == [0, 1, 2, 3]
        np.testing.assert_allclose(edges[1], (first + second) / 2, rtol=1e-4)
        assert [len(one) for one in series] == [30, 60, 30, 30]
        assert cohort.load("motion").loc[1].tolist() == pytest.approx([0.15, 60])
    else:
        assert cohort.rows.tolist() == [0, 1, 1, 2, 3]
        np.testing.assert_allclose(edges[2], second, rtol=1e-4)
        assert [len(one) for one in series] == [30] * 5
        sites = ["KKI", "NYU", "NYU", "KKI", "NYU"]
        assert cohort.load("site")["site"].tolist() == sites
        assert cohort.load("motion").loc[2].tolist() == pytest.approx([0.2, 30])


def test_series_are_standardized_run_by_run(tmp_path, study):
    study(tmp_path)
    add(tmp_path, "02", run="2")
    joined = build_cohort(tmp_path, CohortConfig()).load("timeseries")[1]
    for run, part in zip("12", (joined[:30], joined[30:]), strict=True):
        expected = series_of("02", run)
        expected = (expected - expected.mean(axis=0)) / expected.std(axis=0)
        np.testing.assert_allclose(part, expected, atol=1e-5)
        assert part.dtype == np.float32


def test_a_missing_region_says_nothing_and_is_counted(tmp_path, study):
    study(tmp_path, labels=("01", "03", "04"))
    add(tmp_path, "02", missing=[2])
    cohort = build_cohort(tmp_path, CohortConfig())
    assert cohort.people["n_missing_regions"].tolist() == [0, 1, 0, 0]
    assert (cohort.load("timeseries")[1][:, 2] == 0).all()
    is_edge_of_it = (np.array(np.triu_indices(4, k=1)) == 2).any(axis=0)
    assert ((cohort.load("fisherz")[1] == 0) == is_edge_of_it).all()
    covariance = cohort.load("covariance")[1]
    np.testing.assert_array_equal(covariance[2], np.eye(4)[2])
    assert np.linalg.eigvalsh(covariance)[0] > 0


def test_a_region_missing_in_one_run_is_taken_from_the_other(tmp_path, study):
    study(tmp_path)
    add(tmp_path, "02", run="2", missing=[2])
    cohort = build_cohort(tmp_path, CohortConfig())
    assert cohort.people["n_missing_regions"].tolist() == [0] * 4
    first = np.corrcoef(series_of("02").T)
    np.testing.assert_allclose(cohort.load("fisherz")[1][1], first[0, 2], rtol=1e-5)


def test_controls_are_tables_that_may_hold_gaps(tmp_path, study):
    cohort = build_cohort(study(tmp_path), CohortConfig())
    table = cohort.load("phenotype")
    assert table.columns.tolist() == ["age", "sex"]
    np.testing.assert_array_equal(table["age"], [12.25, np.nan, 11, 9.5])
    assert table["sex"].tolist()[1:] == ["2", "1", "1"]
    assert cohort.load("motion").columns.tolist() == ["mean_fd", "n_volumes"]
    assert cohort.load("site")["site"].tolist() == ["KKI", "NYU", "KKI", "NYU"]


def test_ids_with_and_without_prefix_are_the_same(tmp_path, study):
    bare = PEOPLE.assign(participant_id=PEOPLE["participant_id"].str[4:])
    cohort = build_cohort(study(tmp_path, bare), CohortConfig())
    assert cohort.people["participant_id"].iloc[0] == "sub-01"


def test_a_study_of_one_scanner_has_one_site(tmp_path, study):
    out = study(tmp_path, PEOPLE.drop(columns="site"))
    with pytest.raises(
        ConfigError, match=r"--site-column is 'site'.*none for a single"
    ):
        build_cohort(out, CohortConfig())
    cohort = build_cohort(out, CohortConfig(site_column="none"))
    assert set(cohort.people["site"]) == {"all"}


def test_our_columns_never_hide_theirs(tmp_path, study):
    people = PEOPLE.assign(y=[5, 6, 7, 8]).rename(columns={"diagnosis": "label"})
    cohort = build_cohort(study(tmp_path, people), CohortConfig(target="label"))
    assert cohort.people["participants_y"].tolist() == [8, 6, 7, 5]
    assert cohort.people["label"].tolist() == ["autism"] * 2 + ["control"] * 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"target": "diagnosys"}, r"--target is 'diagnosys'.*Did you mean 'diagnosis'"),
        ({"site_column": "scanner"}, r"There are: diagnosis, site, Age_at_scan, SEX"),
        ({"positive_label": "autsm"}, r"autism \(2 people\).*Did you mean 'autism'"),
        ({"atlas": "all"}, r"--atlases all.*there are: aal\. Did you mean 'aal'"),
        ({"desc": "simplegsr"}, r"--denoise-strategy simplegsr.*are: simple\."),
        ({"space": "Yale"}, r"--space Yale: .* there are: MNI"),
    ],
)
def test_an_unknown_name_lists_what_there_is(tmp_path, setting, message, study):
    with pytest.raises(ConfigError, match=message):
        build_cohort(study(tmp_path), CohortConfig(**setting))


@pytest.mark.parametrize(
    ("field", "option"),
    [
        ({"atlas": "ho"}, "aal, ho; a cohort has one. Choose with --atlases"),
        ({"desc": "gsr"}, "gsr, simple; .*--denoise-strategy"),
        ({"space": "T1w"}, "MNI, T1w; .*--space"),
    ],
)
def test_an_open_choice_is_refused_and_a_made_one_taken(tmp_path, field, option, study):
    study(tmp_path)
    for label in ("01", "03"):
        add(tmp_path, label, **field)
    with pytest.raises(ConfigError, match=option):
        build_cohort(tmp_path, CohortConfig())
    ((name, value),) = field.items()
    cohort = build_cohort(tmp_path, CohortConfig(**{name: value.upper()}))
    assert cohort.people["participant_id"].tolist() == ["sub-01", "sub-03"]
    assert cohort.source[name] == value
    assert cohort.people["n_runs"].tolist() == [1, 1]
    assert len(cohort.load("motion")) == 2


def test_atlases_of_one_name_are_told_apart_by_scale(tmp_path, study):
    study(tmp_path)
    path = "sub-01/func/sub-01_task-rest_run-1_space-MNI_atlas-aal"
    for name in tmp_path.glob(f"{path}_stat-*"):
        text = name.name.replace("atlas-aal", "atlas-aal_seg-7n_scale-200")
        name.with_name(text).write_text(name.read_text())
    with pytest.raises(ConfigError, match="aal, aal_seg-7n_scale-200"):
        build_cohort(tmp_path, CohortConfig())
    cohort = build_cohort(tmp_path, CohortConfig(atlas="aal"))
    assert len(cohort.people) == 4
    scaled = load_people(tmp_path, CohortConfig(atlas="aalseg7nscale200"))
    assert scaled.people["participant_id"].tolist() == ["sub-01"]
    assert scaled.source["scale"] == "200"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("schaefer400", [1]),
        ("Schaefer2018_seg-7n_scale-200", [0]),
        ("schaefer2018", [0, 1]),
        ("cc", []),
    ],
)
def test_an_atlas_is_found_by_the_name_of_the_participant_level(typed, found):
    known = [f"Schaefer2018_seg-7n_scale-{scale}" for scale in (200, 400)]
    assert _matching(known, typed) == [known[at] for at in found]


def test_several_tasks_are_not_averaged_silently(tmp_path, study):
    study(tmp_path)
    add(tmp_path, "01", entities={"sub": "01", "task": "nback", "run": "1"})
    with pytest.raises(ConfigError, match=r"nback, rest; .*--task-id"):
        build_cohort(tmp_path, CohortConfig())
    cohort = build_cohort(tmp_path, CohortConfig(task_id=("rest",)))
    assert cohort.people["n_runs"].tolist() == [1] * 4


def test_selected_people_only(tmp_path, study):
    study(tmp_path)
    cohort = build_cohort(tmp_path, CohortConfig(participant_label=("01", "sub-03")))
    assert cohort.people["participant_id"].tolist() == ["sub-01", "sub-03"]
    with pytest.raises(NothingMatched, match=r"--participant-label sub-33.*sub-03"):
        build_cohort(tmp_path, CohortConfig(participant_label=("33",)))


def test_one_class_is_refused(tmp_path, study):
    study(tmp_path, PEOPLE.assign(diagnosis="autism"))
    with pytest.raises(InputError, match=r"one value .* autism \(4 people\).*--target"):
        build_cohort(tmp_path, CohortConfig())


def test_one_class_because_the_others_have_no_features(tmp_path, study):
    study(tmp_path, labels=("01", "02"))
    with pytest.raises(InputError, match=r"among those with features: autism \(2"):
        build_cohort(tmp_path, CohortConfig())


def test_three_classes_are_refused(tmp_path, study):
    out = study(tmp_path, PEOPLE.assign(diagnosis=["adhd", "autism", "hc", "hc"]))
    with pytest.raises(ConfigError, match=r"3 values: adhd \(1 .*, hc \(2 .*n/a"):
        build_cohort(out, CohortConfig())


def test_an_unclear_positive_is_asked_for(tmp_path, study):
    study(tmp_path, PEOPLE.assign(diagnosis=[1, 2, 1, 2]))
    with pytest.raises(ConfigError, match="Give --positive-label 1 or 2"):
        build_cohort(tmp_path, CohortConfig())
    cohort = build_cohort(tmp_path, CohortConfig(positive_label="1"))
    assert cohort.labels == {0: "2", 1: "1"}
    assert cohort.people["y"].tolist() == [0, 0, 1, 1]


def test_people_with_other_regions_are_named(tmp_path, study):
    study(tmp_path, labels=("01", "02", "03"))
    add(tmp_path, "04", regions=REGIONS[:3])
    with pytest.raises(InputError, match=r"1 of 4 people .* the 4 of the rest: sub-04"):
        build_cohort(tmp_path, CohortConfig())


def test_people_with_other_preprocessing_are_named(tmp_path, study):
    study(tmp_path, labels=("01", "02", "03"))
    add(tmp_path, "04", meta={"Strategy": "simple", "SmoothingFWHM": 6})
    with pytest.raises(InputError, match=r"sub-04 \(SmoothingFWHM 6 against 0\)"):
        build_cohort(tmp_path, CohortConfig())


DIGEST = {"Strategy": "simple", "SmoothingFWHM": 0, "StrategyDigest": "a"}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"StrategyDigest": "b"}, r"sub-04 \(StrategyDigest b against a\)"),
        ({"DummyScansAsked": 5}, r"sub-04 \(DummyScansAsked 5 against auto\)"),
    ],
)
def test_strategies_of_one_name_are_told_apart(tmp_path, study, other, message):
    usual = DIGEST | {"DummyScansAsked": "auto"}
    study(tmp_path, labels=("01",))  # older: it says nothing of its strategy
    for label in ("02", "03"):
        add(tmp_path, label, meta=usual)
    whole = load_people(tmp_path, CohortConfig())
    whole.check_like(whole.describe("fisherz"))
    add(tmp_path, "04", meta=usual | other)
    with pytest.raises(InputError, match=message):
        load_people(tmp_path, CohortConfig())
    shutil.rmtree(tmp_path / "sub-02")
    shutil.rmtree(tmp_path / "sub-03")
    alone = load_people(tmp_path, CohortConfig())
    with pytest.raises(InputError, match="other features than these"):
        alone.check_like(whole.describe("fisherz"))


def test_a_region_missing_in_one_run_keeps_the_mean_positive(tmp_path):
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(500, 1))
    whole = np.cov((shared + 0.1 * rng.normal(size=(500, 3))).T)
    low = np.cov(np.where([[1, -1, 1]], shared, 0).T + 0.1 * rng.normal(size=(3, 500)))
    low[2] = low[:, 2] = np.nan
    names = ("a", "b", "c")
    runs = [
        {"covariance": store.write_matrix(tmp_path / f"{at}_relmat.tsv", one, names)}
        for at, one in enumerate((whole, low))
    ]
    (found,) = covariances([runs], names)
    assert np.linalg.eigvalsh(found).min() > 0
    low[2] = low[:, 2] = [0, 0, 1]
    np.testing.assert_allclose(found, (whole + low) / 2, rtol=1e-5)


def test_what_may_differ_between_people_does_not_stop(tmp_path, study):
    study(tmp_path, labels=("01", "02", "03"))
    same = {"Strategy": "simple", "SmoothingFWHM": 0}
    add(tmp_path, "04", tr_s=0.8, meta=same | {"Regressors": ["a_comp_cor_00"]})
    assert len(build_cohort(tmp_path, CohortConfig()).people) == 4


def test_nobody_left_says_why_and_shows_the_names(tmp_path, study):
    people = PEOPLE.assign(participant_id=PEOPLE["participant_id"].str[5:])
    study(tmp_path, people)
    message = r"none of 8 people.*4: no row in.*sub-1, sub-2, sub-3 and 1 more"
    with pytest.raises(NothingMatched, match=message):
        build_cohort(tmp_path, CohortConfig())


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"include": "Age_at_scan > 999"}, "4: not in --include Age_at_scan > 999"),
        ({"covariates": ("iq",), "missing": "drop"}, r"4: no iq in .*--missing drop"),
    ],
)
def test_nobody_left_by_an_option_is_not_asked_for_names(
    tmp_path, study, config, reason
):
    study(tmp_path, PEOPLE.assign(iq="n/a"))
    with pytest.raises(NothingMatched, match=reason) as caught:
        build_cohort(tmp_path, CohortConfig(**config))
    assert "do the folders" not in str(caught.value)
    assert "Change the option that leaves them out" in str(caught.value)


def test_an_empty_folder_asks_for_the_participant_level(tmp_path):
    PEOPLE.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    with pytest.raises(NothingMatched, match="Run that first"):
        build_cohort(tmp_path, CohortConfig())


def test_an_absent_kind_names_the_people(tmp_path, study):
    cohort = build_cohort(study(tmp_path), CohortConfig())
    with pytest.raises(InputError, match="4 of 4 scans have no partialcorrelation"):
        cohort.load("partialcorrelation")
    with pytest.raises(InputError, match=r"no input 'fisher'.*mean 'fisherz'"):
        cohort.load("fisher")


def test_a_bundle_s_feature_is_recognised(tmp_path, study):
    cohort = build_cohort(study(tmp_path), CohortConfig())
    said = json.loads(json.dumps(cohort.describe("fisherz")))
    assert said["regions"] == list(REGIONS)
    assert said["shape"] == [6]
    assert said["atlas"] == "aal"
    assert said["preprocessing"] == {
        "Strategy": "simple",
        "SmoothingFWHM": 0,
        "AtlasDigest": "abc",
    }
    cohort.check_like(said)
    cohort.check_like(cohort.describe("site"))
    said["preprocessing"]["SmoothingFWHM"] = 6
    with pytest.raises(InputError, match="SmoothingFWHM 6 against 0"):
        cohort.check_like(said)


def test_new_people_need_no_target_and_no_table(tmp_path, study):
    study(tmp_path)
    add(tmp_path, "05")
    whole = build_cohort(tmp_path, CohortConfig())
    (tmp_path / "participants.tsv").unlink()
    new = load_people(tmp_path, CohortConfig())
    assert len(new.people) == 5
    assert new.labels == {}
    assert set(new.people["y"]) == {-1}
    np.testing.assert_array_equal(new.load("fisherz")[:4], whole.load("fisherz"))


def test_new_people_keep_the_site_they_have(tmp_path, study):
    study(tmp_path, PEOPLE.drop(columns="diagnosis"))
    add(tmp_path, "05")
    new = load_people(tmp_path, CohortConfig())
    assert new.people["site"].iloc[:4].tolist() == ["KKI", "NYU", "KKI", "NYU"]
    assert new.people["site"].isna().iloc[4]
    assert new.load("phenotype")["age"].isna().tolist() == [
        False,
        True,
        False,
        False,
        True,
    ]


def test_include_takes_whom_it_describes_and_gives_the_reason(tmp_path, study):
    study(tmp_path)
    whole = build_cohort(tmp_path, CohortConfig())
    part = build_cohort(tmp_path, CohortConfig(include="participant_id != 'sub-02'"))
    assert set(whole.people["participant_id"]) - set(part.people["participant_id"]) == {
        "sub-02"
    }
    reason = part.excluded.set_index("participant_id")["reason"]["sub-02"]
    assert "--include" in reason


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("no_such == 1", "no_such.*columns participant_id"),
        ("Age_at_scan <", "cannot be read"),
        ("Age_at_scan", "not a condition"),
        ("@pd.options", "cannot be read"),
    ],
)
def test_include_that_is_no_condition_is_refused(tmp_path, study, expression, words):
    study(tmp_path)
    with pytest.raises(ConfigError, match=words):
        build_cohort(tmp_path, CohortConfig(include=expression))


TRAITS = PEOPLE.assign(
    hand=["R", "L", "L", "R"],
    fam=["a", "n/a", "a", "n/a"],
    iq=["99", "n/a", "101", "7"],
)


def test_traits_stand_in_the_order_of_people_with_their_kinds(tmp_path, study):
    study(tmp_path, TRAITS)
    config = CohortConfig(
        covariates=("iq", "hand"), group_column="fam", missing="impute-train-median"
    )
    cohort = build_cohort(tmp_path, config)
    assert list(cohort.traits) == ["site", "iq", "hand", "group"]
    assert cohort.traits["site"].tolist() == cohort.people["site"].tolist()
    np.testing.assert_array_equal(cohort.traits["iq"], [7, np.nan, 101, 99])
    assert cohort.traits["hand"].tolist() == ["R", "L", "L", "R"]
    assert cohort.traits["group"].tolist() == [0, 1, 2, 2]
    assert cohort.people["group"].tolist()[2:] == ["a", "a"]
    assert cohort.table()["group"].isna().tolist() == [True, True, False, False]
    assert list(build_cohort(tmp_path, CohortConfig()).traits) == ["site"]


def test_a_column_called_group_makes_no_families_unasked(tmp_path, study):
    study(tmp_path, TRAITS.rename(columns={"fam": "group"}))
    plain = build_cohort(tmp_path, CohortConfig())
    assert "group" not in plain.people
    assert plain.people["participants_group"].notna().sum() == 2
    asked = build_cohort(tmp_path, CohortConfig(group_column="group"))
    assert asked.people["group"].tolist()[2:] == ["a", "a"]
    assert asked.load("phenotype")["sex"].notna().sum() == 3


def test_people_without_a_covariate_are_named_or_left_out(tmp_path, study):
    study(tmp_path, TRAITS.assign(diagnosis=["control", "control", *["autism"] * 2]))
    with pytest.raises(InputError, match=r"1 of 4 people have no 'iq'.*: sub-02\."):
        build_cohort(tmp_path, CohortConfig(covariates=("iq",)))
    cohort = build_cohort(tmp_path, CohortConfig(covariates=("iq",), missing="drop"))
    assert cohort.people["participant_id"].tolist() == ["sub-01", "sub-03", "sub-04"]
    assert dict(cohort.excluded.to_numpy()) == {
        "sub-02": "no iq in participants.tsv (--missing drop)"
    }
    assert cohort.traits["iq"].tolist() == [7, 101, 99]


def test_the_target_under_another_name_is_no_covariate(tmp_path, study):
    study(tmp_path, TRAITS.assign(DX=["2", "1", "2", "1"], batch="x"))
    with pytest.raises(
        ConfigError, match="'DX' alone tells diagnosis apart with an AUC of 1"
    ):
        build_cohort(tmp_path, CohortConfig(covariates=("DX",)))
    with pytest.raises(InputError, match="'batch' has only the value x among 4 people"):
        build_cohort(tmp_path, CohortConfig(covariates=("batch",)))


@pytest.mark.parametrize("runs", ["average", "keep"])
def test_matching_keeps_pairs_and_writes_why_others_are_out(tmp_path, study, runs):
    study(tmp_path, PEOPLE.assign(Age_at_scan=["9.5", "10", "11", "n/a"]))
    add(tmp_path, "02", run="2")
    config = CohortConfig(match=True, runs=runs, covariates=("SEX",), missing="drop")
    with pytest.raises(ConfigError, match="'SEX' alone tells"):
        build_cohort(tmp_path, config)
    cohort = build_cohort(tmp_path, CohortConfig(match=True, runs=runs))
    assert cohort.people["participant_id"].tolist() == ["sub-02", "sub-04"]
    assert cohort.people["y"].tolist() == [1, 0]
    assert cohort.traits.index.tolist() == [0, 1]
    assert cohort.rows.tolist() == ([0, 0, 1] if runs == "keep" else [0, 1])
    assert len(cohort.load("fisherz")) == len(cohort.rows)
    assert dict(cohort.excluded.to_numpy()) == {
        "sub-01": "no age, which --match needs",
        "sub-03": "--match: KKI has no patients",
    }
    assert (cohort.table()["included"] == "no").sum() == 2


def test_one_damaged_table_costs_one_person(tmp_path, study):
    study(tmp_path)
    add(tmp_path, "05")
    add(tmp_path, "05", run="2")
    row = {"participant_id": "sub-05", "diagnosis": "autism", "site": "NYU"}
    table = pd.concat([PEOPLE, pd.DataFrame([row])])
    table.to_csv(tmp_path / "participants.tsv", sep="\t", index=False, na_rep="n/a")
    path = next(tmp_path.glob("sub-05/func/*run-2*stat-fisherz*relmat.tsv"))
    path.write_bytes(path.read_bytes()[:40])
    cohort = build_cohort(tmp_path, CohortConfig())
    assert len(cohort.load("fisherz")) == 4
    reason = dict(cohort.excluded.to_numpy())["sub-05"]
    assert reason.startswith(f"{path.name}: not a table of numbers")
    with pytest.raises(
        InputError, match=r"1 people .* cannot be read: sub-05 \(sub-05_t"
    ):
        load_people(tmp_path, CohortConfig())


def test_new_people_bring_the_covariates_of_the_model(tmp_path, study):
    config = CohortConfig(covariates=("iq", "hand"))
    study(tmp_path, TRAITS.drop(columns=["diagnosis", "fam"]))
    add(tmp_path, "05")
    new = load_people(tmp_path, config)
    assert list(new.traits) == ["site", "iq", "hand"]
    np.testing.assert_array_equal(new.traits["iq"], [7, np.nan, 101, 99, np.nan])
    assert new.traits["site"].isna().tolist() == [False] * 4 + [True]
    message = r"participants.tsv: no column iqq, which the model's .*Age_at_scan"
    with pytest.raises(InputError, match=message):
        load_people(tmp_path, CohortConfig(covariates=("iqq", "hand")))
    (tmp_path / "participants.tsv").unlink()
    with pytest.raises(InputError, match=r"participants.tsv: no such file; .* site"):
        load_people(tmp_path, config)
    assert list(load_people(tmp_path, CohortConfig()).traits) == ["site"]


def test_two_columns_of_one_name_are_refused(tmp_path, study):
    study(tmp_path, PEOPLE.assign(age=3))  # beside Age_at_scan: another word
    build_cohort(tmp_path, CohortConfig())
    study_of = PEOPLE.assign(Site="x")
    study_of.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    with pytest.raises(
        InputError, match="2 columns 'site', 'Site'; expected each name"
    ):
        build_cohort(tmp_path, CohortConfig())
