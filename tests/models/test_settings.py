"""Settings of a model: read as their defaults are, refused with what is expected."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.errors import ConfigError
from bidsclf.models import fc
from bidsclf.models._base import Variant, find, variants
from bidsclf.models._settings import read_settings, restored, shown

DEFAULTS = {
    "mask": True,
    "epochs": 30,
    "rate": 1e-3,
    "pool": "last",
    "layers": (70, 35, 18),
}


def make(seed=0, device="cpu", **settings):
    if settings.get("rate") == 0:
        raise ConfigError("rate is 0; it lies above 0.")
    return settings


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    variant = Variant(
        input="none", make=make, settings=DEFAULTS, choices={"pool": ("last", "mean")}
    )
    monkeypatch.setitem(fc.VARIANTS, "fc-toy", variant)


def read(*words):
    return read_settings("fc-toy", [f"fc-toy:{word}" for word in words])


def test_each_value_is_of_the_type_of_its_default():
    found = read("mask=no", "epochs=5", "rate=1e-4", "pool=mean", "layers=60, 50,40")
    assert found == {
        "mask": False,
        "epochs": 5,
        "rate": 1e-4,
        "pool": "mean",
        "layers": (60, 50, 40),
    }
    assert type(found["epochs"]) is int
    assert type(read("rate=1")["rate"]) is float


@given(
    changed=st.fixed_dictionaries(
        {},
        optional={
            "mask": st.booleans(),
            "epochs": st.integers(0, 10**6),
            "rate": st.floats(1e-9, 1e9),
            "pool": st.sampled_from(["last", "mean"]),
            "layers": st.lists(st.integers(0, 999), min_size=1, max_size=5).map(tuple),
        },
    )
)
def test_what_is_shown_is_read_back(changed):
    variant = Variant(input="none", make=make, settings=DEFAULTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fc.VARIANTS, "fc-toy", variant)
        assert read(*(f"{name}={shown(value)}" for name, value in changed.items())) == (
            changed
        )


def test_words_of_other_models_are_passed_over():
    assert read_settings("fc-svm", ["fc-toy:epochs=5"]) == {}
    assert read_settings("fc-toy", ["fc-svm:epochs=5", "fc-toy:epochs=6"]) == {
        "epochs": 6
    }


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("epohcs=3", r"no setting 'epohcs'; there are: mask, .*Did you mean 'epochs'"),
        (
            "epochs=3.5",
            r"epochs takes a whole number from 0 to 1000000000, such as .*epochs=30",
        ),
        ("epochs=-1", "epochs takes a whole number from 0 to 1000000000"),
        ("epochs=", "epochs takes a whole number"),
        (
            "rate=inf",
            "rate takes a number from 0 to 1000000000, .*rate=0.001, the default",
        ),
        ("epochs=1_000", "epochs takes a whole number from 0"),
        ("epochs=1000000001", "epochs takes a whole number from 0 to 1000000000"),
        ("epochs=\u0663", "epochs takes a whole number from 0"),
        ("rate=1_0.5", "rate takes a number"),
        ("layers=7_0,35", "layers takes whole numbers"),
        ("rate=nan", "rate takes a number"),
        ("mask=maybe", "mask takes true or false, such as .*mask=true"),
        ("layers=60;50", "layers takes whole numbers.*joined by commas.*=70,35,18"),
        ("pool=maen", r"pool is one of: last, mean\. Did you mean 'mean'\?"),
        ("pool=", "pool is one of: last, mean"),
        ("rate=0", "--model-settings for fc-toy: rate is 0; it lies above 0"),
    ],
)
def test_a_refused_value_says_what_is_expected(word, message):
    with pytest.raises(ConfigError, match=message):
        read(word)


def test_everything_wrong_is_said_at_once():
    with pytest.raises(ConfigError) as caught:
        read("epochs=x", "rate=0.1", "nothing=1")
    assert len(str(caught.value).splitlines()) == 2


def test_a_model_without_settings_says_so():
    with pytest.raises(ConfigError, match="fc-svm:c=1: this model has no settings"):
        read_settings("fc-svm", ["fc-svm:c=1"])


@pytest.mark.parametrize("name", variants())
def test_every_model_takes_its_own_defaults_as_a_user_spells_them(name):
    variant = find(name)
    words = [f"{name}:{key}={shown(value)}" for key, value in variant.settings.items()]
    assert read_settings(name, words) == dict(variant.settings)
    for key in variant.choices.keys() & variant.settings.keys():
        choices = variant.choices[key]
        assert variant.settings[key] in choices
        for word in choices:
            assert read_settings(name, [f"{name}:{key}={word}"]) == {key: word}


def test_a_tuple_survives_json():
    assert restored({"layers": [60, 50], "rate": 0.1}) == {
        "layers": (60, 50),
        "rate": 0.1,
    }
