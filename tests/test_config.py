"""Settings: bounds that hold, and the way to disk and back."""

import tomllib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.config import (
    AnalysisConfig,
    CohortConfig,
    Config,
    DenoiseConfig,
    ExtractConfig,
    FoldConfig,
    HarmonizeConfig,
    RunConfig,
    VolumeConfig,
    from_plain,
    to_plain,
)
from bidsclf.errors import ConfigError

CONFIG = Config(bids_dir=Path("/in"), output_dir=Path("/out"), level="group")


@given(
    n_folds=st.integers(2, 50),
    high_pass_hz=st.none() | st.floats(1e-4, 0.05),
    atlases=st.lists(st.text("abc", min_size=1), min_size=1, unique=True).map(tuple),
    positive_label=st.none() | st.text("é1 ", min_size=1),
)
def test_toml_gives_back_the_same_settings(
    n_folds, high_pass_hz, atlases, positive_label
):
    config = replace(
        CONFIG,
        extract=ExtractConfig(
            atlases=atlases, denoise=DenoiseConfig(high_pass_hz=high_pass_hz)
        ),
        cohort=CohortConfig(positive_label=positive_label),
        folds=FoldConfig(n_folds=n_folds),
        run=RunConfig(work_dir=Path("/work folder")),
    )
    text = tomli_w.dumps(to_plain(config))
    assert from_plain(Config, tomllib.loads(text)) == config


def parts(kind):
    for known in fields(kind):
        if is_dataclass(known.type):
            yield known.type
            yield from parts(known.type)


@pytest.mark.parametrize("part", list(parts(Config)), ids=lambda kind: kind.__name__)
def test_every_default_is_within_its_own_bounds(part):
    assert from_plain(part, to_plain(part())) == part()


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        (DenoiseConfig, {"high_pass_hz": 0.0}, "--high-pass is 0.0; .* above 0"),
        (DenoiseConfig, {"low_pass_hz": float("nan")}, "--low-pass is nan"),
        (DenoiseConfig, {"fd_thresh_mm": float("inf")}, "--fd-thresh is inf"),
        (DenoiseConfig, {"dummy_scans": -1}, "--dummy-scans is -1; it takes 0 or more"),
        (DenoiseConfig, {"high_pass_hz": 0.1, "low_pass_hz": 0.1}, "Swap them"),
        (ExtractConfig, {"min_coverage": 1.5}, "1.5; it takes 0 or more and 1 or less"),
        (ExtractConfig, {"atlases": ()}, "--atlases is empty"),
        (ExtractConfig, {"features": ("a", "a")}, "--features names one twice: a a"),
        (VolumeConfig, {"pick": "evn"}, "--volume-pick is 'evn'.* mean 'even'"),
        (VolumeConfig, {"length": -2}, "-length is -2; it takes 1 or more, or all"),
        (
            ExtractConfig,
            {"volume": VolumeConfig(size=20, zscore=True)},
            r"--volume-size, --volume-zscore: --features \(timeser.*no 'volume'",
        ),
        (CohortConfig, {"runs": "kep"}, "--runs is 'kep'.* Did you mean 'keep'"),
        (FoldConfig, {"scheme": "loco"}, "--cv is 'loco'.*kfold, loso.*'loso'"),
        (FoldConfig, {"valid_fraction": 0.5}, "valid_fraction is 0.5"),
        (AnalysisConfig, {"models": ()}, "--models is empty"),
        (AnalysisConfig, {"models": ("fc-svm", "fc-svm")}, "one twice: fc-svm fc-svm"),
        (AnalysisConfig, {"analysis_id": "../x"}, "'../x'; it takes letters"),
        (AnalysisConfig, {"analysis_id": "é"}, "letters and digits"),
        (AnalysisConfig, {"n_bootstrap": 99}, "--n-bootstrap is 99; .*100 or more"),
        (
            AnalysisConfig,
            {"n_refit_permutations": 1},
            r"is then 1/2,.*20 or more, or 0",
        ),
        (AnalysisConfig, {"n_refit_permutations": 19}, r"is then 1/20, not below .05"),
        (FoldConfig, {"folds_file": Path("f.tsv"), "scheme": "loso"}, "e and --cv:"),
        (
            FoldConfig,
            {"folds_file": Path("f.tsv"), "n_folds": 5, "n_repeats": 1},
            "--folds-file and --n-folds, --n-repeats: the file says",
        ),
        (RunConfig, {"nprocs": 0}, "--nprocs is 0; it takes 1 or more"),
        (RunConfig, {"force": True, "reports_only": True}, "give one of them"),
    ],
)
def test_a_value_out_of_bounds_is_named_by_its_option(part, values, message):
    with pytest.raises(ConfigError, match=message):
        part(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folds": {"n_flods": 3}}, r"unknown setting folds.n_flods. Did.*'n_folds'"),
        ({"flods": {}}, r"unknown setting flods. Did you mean 'folds'"),
        ({"folds": 3}, "folds is 3; it is a table"),
        ({"folds": {"n_folds": "ten"}}, "--n-folds is 'ten'; it takes a whole number"),
        ({"folds": {"n_folds": 2.5}}, "--n-folds is 2.5; it takes a whole number"),
        ({"folds": {"seed": True}}, "--seed is True; it takes a whole number"),
        ({"run": {"force": "yes"}}, "--force is 'yes'; it takes true or false"),
        ({"extract": {"atlases": [1]}}, r"--atlases is \[1\]; it takes a list"),
        ({"cohort": {"target": 3}}, "--target is 3; it takes text"),
        ({"bids_dir": ""}, "bids_dir is ''; it takes a path"),
        ({"bids_dir": None}, "bids_dir is None; it takes a path"),
        ({"level": "grup"}, "the level is 'grup'; .*Did you mean 'group'"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_name(values, message):
    with pytest.raises(ConfigError, match=message):
        from_plain(Config, to_plain(CONFIG) | values)


@pytest.mark.parametrize("n_refits", [0, 20, 1000])
def test_refits_that_can_reach_a_small_p_are_taken(n_refits):
    made = AnalysisConfig(n_refit_permutations=n_refits)
    assert made.n_refit_permutations == n_refits


@pytest.mark.parametrize(
    ("harmonize", "cohort", "message"),
    [
        ({"unseen": "identity"}, {}, "--harmonize-unseen is identity and --harmonize"),
        ({}, {"missing": "drop"}, "--missing is drop and --covariates is empty"),
        ({"method": "combat-gam"}, {}, r"covariates \(none\) names no age.*--smooth"),
        ({"method": "combat-gam"}, {"covariates": ("sex",)}, r"\(sex\) names no age"),
    ],
)
def test_what_would_change_nothing_or_fail_later_is_refused(harmonize, cohort, message):
    parts = {
        "harmonize": HarmonizeConfig(**harmonize),
        "cohort": CohortConfig(**cohort),
    }
    with pytest.raises(ConfigError, match=message):
        replace(CONFIG, **parts)
    if not harmonize.get("method"):  # predict may choose a policy for its model
        assert replace(CONFIG, **parts, level="predict")


def test_a_curve_may_be_of_age_or_of_what_is_named():
    gam = HarmonizeConfig(method="combat-gam")
    assert replace(CONFIG, harmonize=gam, cohort=CohortConfig(covariates=("Age",)))
    gam = replace(gam, smooth_terms=("iq",))
    assert replace(CONFIG, harmonize=gam, cohort=CohortConfig(covariates=("iq",)))


def test_all_mistakes_come_together():
    values = {"folds": {"n_folds": 1, "scheme": "x"}, "run": {"nprocs": "two"}, "y": 1}
    with pytest.raises(ConfigError) as caught:
        from_plain(Config, to_plain(CONFIG) | values)
    assert len(str(caught.value).splitlines()) == 4


def test_a_part_with_a_mistake_is_not_held_against_others():
    maps = {"features": ["graymatter"], "graymatter": {"map_pattern": "("}}
    values = to_plain(CONFIG) | {"cat12": "/maps", "level": "participant"}
    for more, expected in (
        ({"extract": maps}, ["--map-pattern"]),
        ({"extract": maps, "level": "all"}, ["--map-pattern", "level is 'all'"]),
        ({"extract": {}}, ["has no 'graymatter', so nothing is read"]),
    ):
        with pytest.raises(ConfigError) as caught:
            from_plain(Config, values | more)
        told = str(caught.value).splitlines()
        assert len(told) == len(expected)
        assert all(part in line for part, line in zip(expected, told, strict=True))


def test_numbers_may_come_as_text():
    assert from_plain(FoldConfig, {"n_folds": "7"}).n_folds == 7


def test_a_whole_number_is_a_number():
    made = from_plain(DenoiseConfig, {"smoothing_fwhm_mm": 6}).smoothing_fwhm_mm
    assert made == 6.0
    assert isinstance(made, float)


def test_what_has_no_default_is_asked_for():
    with pytest.raises(
        ConfigError, match=r"bids_dir is missing\.\noutput_dir is missing"
    ):
        from_plain(Config, {"level": "group"})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("patience=20", "'patience=20': expected MODEL:NAME=VALUE, such as meanmlp:pa"),
        ("meanmlp:patience", "expected MODEL:NAME=VALUE"),
        (":patience=20", "expected MODEL:NAME=VALUE"),
        (
            "maenmlp:patience=20",
            r"'maenmlp' is not among --models meanmlp\. Did you me",
        ),
        ("meanmlp:patience=3", "gives meanmlp:patience twice"),
    ],
)
def test_a_setting_of_a_model_is_spelt_out(word, message):
    words = ("meanmlp:patience=20", word)
    with pytest.raises(ConfigError, match=message):
        AnalysisConfig(models=("meanmlp",), settings=words)


@pytest.mark.parametrize("tr_s", [0, -1, 0.0001, 0.099, 10.1, 720, float("nan")])
def test_a_repetition_time_is_in_seconds(tr_s):
    with pytest.raises(ConfigError, match=r"-tr is .* 0.1 or more and 10 or less"):
        CohortConfig(resample_tr_s=tr_s)


@pytest.mark.parametrize("option", ["include", "source"])
@pytest.mark.parametrize("said", ["", "  "])
def test_a_condition_that_is_empty_is_refused(option, said):
    with pytest.raises(ConfigError, match=f"--{option} is empty; give a condition"):
        CohortConfig(**{option: said})
