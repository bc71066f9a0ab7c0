"""Names are built and read back without loss, in the order that BIDS wants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.errors import InputError
from bidsclf.files import paths

LABELS = st.text("abcXYZ0129", min_size=1, max_size=6)
SOURCE = st.text("abXY01+", min_size=1, max_size=6)
ENTITIES = st.dictionaries(st.sampled_from(paths.ORDER[1:]), LABELS).flatmap(
    lambda some: SOURCE.map(lambda sub: {"sub": sub} | some)
)


@given(entities=ENTITIES)
def test_parse_undoes_build(entities):
    path = paths.build(entities, "timeseries", ".nii.gz")
    assert paths.parse(path.name) == (entities, "timeseries", ".nii.gz")


@given(entities=ENTITIES)
def test_the_order_given_does_not_matter(entities):
    turned = dict(reversed(entities.items()))
    assert paths.build(entities, "bold", ".json") == paths.build(
        turned, "bold", ".json"
    )


def test_agrees_with_a_path_written_by_hand():
    entities = {
        "atlas": "aal", "space": "MNI", "ses": "2", "sub": "7", "stat": "mean",
        "run": "1", "desc": "simple",
    }  # fmt: skip
    assert str(paths.build(entities, "timeseries", ".tsv")) == (
        "sub-7/ses-2/func/"
        "sub-7_ses-2_run-1_space-MNI_atlas-aal_stat-mean_desc-simple_timeseries.tsv"
    )


@given(text=st.text())
def test_a_label_is_safe_or_refused(text):
    try:
        value = paths.label(text)
    except InputError:
        return
    assert paths.parse(f"sub-{value}_bold.nii")[0] == {"sub": value}


def test_a_plus_stays_in_the_labels_of_the_source_only():
    entities = {"sub": "a+b", "task": "rest+eyes", "desc": "simple+gsr"}
    path = paths.build(entities, "timeseries", ".tsv")
    assert path.name == "sub-a+b_task-rest+eyes_desc-simplegsr_timeseries.tsv"


def test_refuses_a_name_without_a_person():
    with pytest.raises(InputError, match="'sub' is required"):
        paths.build({"task": "rest"}, "bold", ".nii.gz")


def test_refuses_an_entity_that_has_no_place():
    with pytest.raises(InputError, match=r"\['foo'\] are unknown"):
        paths.build({"sub": "1", "foo": "2"}, "bold", ".nii.gz")


@pytest.mark.parametrize("name", ["sub-01_rest_bold.nii.gz", "sub-0-1_bold.nii"])
def test_refuses_what_is_not_a_bids_name(name):
    with pytest.raises(InputError, match="not a BIDS name"):
        paths.parse(name)
