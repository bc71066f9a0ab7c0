"""People joined with images: one grid, read one at a time, alone or beside tables."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bidsclf.cohort import build_cohort, load_people
from bidsclf.config import CohortConfig
from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.files import damage, store
from bidsclf.files.images import Images, grid_of, read_image, seconds_between
from bidsclf.models._rows import load_rows, row_digests, save_rows
from bidsclf.models._volumes import Volumes

LABELS = ("01", "02", "03", "04")
PEOPLE = pd.DataFrame(
    {
        "participant_id": [f"sub-{label}" for label in reversed(LABELS)],
        "diagnosis": ["control", "autism", "control", "autism"],
        "site": "NYU",
    }
)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
MOVED = AFFINE + np.eye(4, k=3)  # by 1 mm
SHAPE = (3, 4, 5)
SIDECAR = {"Strategy": "simple", "GridSize": [3, 4, 5], "RepetitionTime": 2.0}
SIDECAR |= {"VolumeStandardization": "divided by the mean over brain and time"}


def image_of(label, run="1", n_volumes=6, shape=SHAPE):
    seed = int(label) * 10 + int(run)
    values = np.random.default_rng(seed).normal(size=(*shape, n_volumes))
    return values.astype(np.float32)


def path_of(out, label, run="1", desc="simplegrid5"):
    name = f"sub-{label}_task-rest_run-{run}_space-MNI_desc-{desc}_bold.nii.gz"
    return out / f"sub-{label}" / "func" / name


def add(out, label, *, run="1", desc="simplegrid5", values=None, affine=AFFINE, **said):
    path = path_of(out, label, run, desc)
    path.parent.mkdir(parents=True, exist_ok=True)
    values = image_of(label, run) if values is None else values
    nib.save(nib.Nifti1Image(values, affine), path)
    beside = path.with_name(path.name.replace(".nii.gz", ".json"))
    beside.write_text(json.dumps(SIDECAR | said))
    return path


@pytest.fixture
def study(tmp_path):
    PEOPLE.to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    for label in LABELS:
        add(tmp_path, label)
    return tmp_path


def test_images_alone_make_a_cohort_in_the_order_of_ids(study):
    cohort = build_cohort(study, CohortConfig())
    assert cohort.people["participant_id"].tolist() == [f"sub-{one}" for one in LABELS]
    assert cohort.regions == ()
    images = cohort.load("volume")
    assert images.shapes == [(6, *SHAPE)] * 4
    for label, image in zip(LABELS, images, strict=True):
        assert image.dtype == np.float32
        np.testing.assert_array_equal(image, np.moveaxis(image_of(label), -1, 0))
    assert cohort.lengths("volume").tolist() == [6] * 4
    with pytest.raises(InputError, match="4 of 4 scans have no fisherz"):
        cohort.load("fisherz")


def test_an_image_is_read_when_it_is_asked_for(study):
    images = build_cohort(study, CohortConfig()).load("volume")
    some = images[np.array([3, 0])]
    path_of(study, "01").unlink()
    np.testing.assert_array_equal(some[0], np.moveaxis(image_of("04"), -1, 0))
    with pytest.raises(InputError, match=r"sub-01.*not readable as an image"):
        some[1]


def test_a_description_says_the_grid_and_how_volumes_were_made(study):
    told = build_cohort(study, CohortConfig()).describe("volume")
    assert json.loads(json.dumps(told)) == told
    assert told["shape"] == [None, *SHAPE]
    assert told["affine"] == AFFINE.tolist()
    assert (told["desc"], told["grid"], told["space"]) == ("simple", "5", "MNI")
    assert told["preprocessing"]["Strategy"] == "simple"
    assert told["repetition_times_s"] == [2.0]
    assert "atlas" not in told


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": np.ones((3, 4, 4, 6), np.float32)}, r"shape \[None, 3, 4, 5\] aga"),
        ({"affine": MOVED}, r"affine \[\[4.0, .* against \[\[4.0, 0.0, 0.0, 1.0"),
        ({"GridBoxMM": [[0, 0, 0], [1, 1, 1]]}, "GridBoxMM None against"),
        ({"VolumeStandardization": "z-score"}, "VolumeStandardization .* against z-sc"),
    ],
)
def test_a_model_takes_no_other_grid_than_its_own(study, tmp_path, change, message):
    told = build_cohort(study, CohortConfig()).describe("volume")
    new = tmp_path / "new"
    add(new, "05")
    load_people(new, CohortConfig()).check_like(told)
    add(new, "05", **change)
    with pytest.raises(InputError, match=message):
        load_people(new, CohortConfig()).check_like(told)


def test_another_number_of_volumes_is_no_other_feature(study, tmp_path):
    told = build_cohort(study, CohortConfig()).describe("volume")
    add(tmp_path / "new", "05", values=image_of("05", n_volumes=9))
    load_people(tmp_path / "new", CohortConfig()).check_like(told)


@pytest.mark.parametrize(
    "change",
    [{"values": image_of("02", shape=(3, 4, 4))}, {"affine": MOVED}],
)
def test_people_on_another_grid_are_named(study, change):
    add(study, "02", **change)
    with pytest.raises(InputError, match=r"1 of 4 people .*another grid.*sub-02"):
        build_cohort(study, CohortConfig())


@pytest.mark.parametrize("change", [{"VolumePick": "contiguous"}, {"VolumeLength": 3}])
def test_people_with_volumes_made_otherwise_are_named(study, change):
    add(study, "02", **change)
    ((name, value),) = change.items()
    with pytest.raises(InputError, match=rf"sub-02 \({name} {value} against"):
        build_cohort(study, CohortConfig())


@pytest.mark.parametrize("runs", ["average", "keep"])
def test_runs_follow_one_another_or_are_kept_apart(study, runs):
    add(study, "02", run="2")
    cohort = build_cohort(study, CohortConfig(runs=runs))
    images = cohort.load("volume")
    first, second = (np.moveaxis(image_of("02", run), -1, 0) for run in "12")
    if runs == "average":
        assert cohort.lengths("volume").tolist() == [6, 12, 6, 6]
        np.testing.assert_array_equal(images[1], np.concatenate([first, second]))
    else:
        assert cohort.rows.tolist() == [0, 1, 1, 2, 3]
        np.testing.assert_array_equal(images[2], second)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda raw: raw[: len(raw) // 2], "not readable"),
        (lambda raw: raw[:-4], "not readable"),
        (lambda raw: raw[:99] + bytes([raw[99] ^ 1]) + raw[100:], "not readable"),
        (lambda raw: b"", "not readable"),
        (lambda raw: b"participant_id", "not readable"),
    ],
)
def test_one_damaged_image_costs_one_person(study, harm, reason):
    path = path_of(study, "02")
    path.write_bytes(harm(path.read_bytes()))
    more = {"participant_id": "sub-05", "diagnosis": "autism", "site": "NYU"}
    table = pd.concat([PEOPLE, pd.DataFrame([more])])
    table.to_csv(study / "participants.tsv", sep="\t", index=False)
    add(study, "05")
    cohort = build_cohort(study, CohortConfig(), ["volume"])
    told = dict(cohort.excluded.to_numpy())["sub-02"]
    assert told.startswith(path.name)
    assert reason in told
    assert len(cohort.load("volume")) == 4
    with pytest.raises(InputError, match=r"1 people have a file that cannot be read"):
        load_people(study, CohortConfig(), ["volume"])


def test_an_image_that_no_model_takes_is_not_read(study, monkeypatch):
    monkeypatch.setattr(
        damage, "why_damaged", lambda path, *, is_read, kind: is_read or None
    )
    assert len(build_cohort(study, CohortConfig()).people) == 4
    with pytest.raises(NothingMatched):
        build_cohort(study, CohortConfig(), ["volume"])


def test_values_that_are_not_finite_cost_one_person(study):
    more = {"participant_id": "sub-05", "diagnosis": "autism", "site": "NYU"}
    table = pd.concat([PEOPLE, pd.DataFrame([more])])
    table.to_csv(study / "participants.tsv", sep="\t", index=False)
    values = image_of("05")
    values[0, 0, 0, :2] = np.nan
    path = add(study, "05", values=values)
    cohort = build_cohort(study, CohortConfig(), ["volume"])
    told = dict(cohort.excluded.to_numpy())["sub-05"]
    assert told.startswith(f"{path.name}: 2 of 360 values are not finite")
    assert len(cohort.load("volume")) == 4


def test_two_grids_are_chosen_between(study):
    for label in LABELS:
        add(study, label, desc="simplegrid9", values=image_of(label, shape=(9, 9, 9)))
    with pytest.raises(ConfigError, match=r"2 kinds: 5, 9; .*--volume-size"):
        build_cohort(study, CohortConfig())
    cohort = build_cohort(study, CohortConfig(volume_size=9))
    assert cohort.load("volume").shapes[0] == (6, 9, 9, 9)
    with pytest.raises(ConfigError, match=r"--volume-size 7: .*there are: 5, 9"):
        build_cohort(study, CohortConfig(volume_size=7))


def test_the_grid_that_images_came_with_is_chosen_by_its_word(study):
    """--volume-size own reads grid 0, and the message says that word."""
    with pytest.raises(ConfigError, match=r"--volume-size own: .*there are: 5\."):
        build_cohort(study, CohortConfig(volume_size=0))
    for label in LABELS:
        values = image_of(label, shape=(7, 4, 9))
        add(study, label, desc="simplegrid0", values=values)
    with pytest.raises(ConfigError, match=r"2 kinds: 5, own; .*with --volume-size"):
        build_cohort(study, CohortConfig())
    for size, shape in ((0, (6, 7, 4, 9)), (5, (6, *SHAPE))):
        cohort = build_cohort(study, CohortConfig(volume_size=size))
        assert cohort.load("volume").shapes == [shape] * 4
        assert cohort.describe("volume")["grid"] == str(size)
    for label in LABELS:
        path_of(study, label).unlink()
    for size in (None, 0):
        cohort = build_cohort(study, CohortConfig(volume_size=size))
        assert cohort.load("volume").shapes == [(6, 7, 4, 9)] * 4


def test_images_lie_beside_the_tables_of_their_strategy(study):
    names = ("insula", "cuneus")
    for label in LABELS[:3]:
        image = path_of(study, label)
        stem = image.name.split("_desc")[0] + "_atlas-aal_stat-mean_desc-simple"
        table = image.with_name(f"{stem}_timeseries.tsv")
        series = np.random.default_rng(int(label)).normal(size=(9, 2))
        store.write_series(table, series, names)
        store.write_json(table.with_suffix(".json"), {"AtlasDigest": 1})
    cohort = build_cohort(study, CohortConfig())
    assert len(cohort.files) == 4
    assert cohort.regions == names
    assert len(cohort.load("volume")) == 4
    assert cohort.describe("timeseries")["atlas"] == "aal"
    assert "grid" not in cohort.describe("timeseries")
    with pytest.raises(InputError, match="1 of 4 scans have no timeseries: sub-04"):
        cohort.load("timeseries")
    some = build_cohort(study, CohortConfig(), ["timeseries", "volume"])
    assert some.excluded.to_numpy().tolist() == [["sub-04", "no scan with timeseries"]]
    assert len(some.load("timeseries")) == len(some.load("volume")) == 3
    (note,) = some.notes
    assert note.startswith("1 people are left out, who have no scan with timeseries")
    without = CohortConfig(include="participant_id != 'sub-04'")
    assert not build_cohort(study, without, ["timeseries", "volume"]).notes
    path_of(study, "03").unlink()
    path_of(study, "01").unlink()
    with pytest.raises(InputError, match=r"one value.* who have no scan with .*volume"):
        build_cohort(study, CohortConfig(), ["timeseries", "volume"])
    for label in ("01", "03"):
        add(study, label)
    same = build_cohort(study, CohortConfig(), ["volume", "covariance", "phenotype"])
    assert len(same.people) == 4  # nobody has a covariance: --features makes it
    shutil.rmtree(study / "sub-04")
    cohort = build_cohort(study, CohortConfig(atlas="aal"))
    assert len(cohort.load("timeseries")) == 3
    path_of(study, "02").unlink()
    cohort = build_cohort(study, CohortConfig())
    with pytest.raises(InputError, match=r"no volume: sub-02.*--features volume"):
        cohort.load("volume")


def test_an_atlas_of_images_alone_is_refused(study):
    with pytest.raises(ConfigError, match=r"--atlases aal: .*there are: none"):
        build_cohort(study, CohortConfig(atlas="aal"))


def test_the_store_holds_what_the_cohort_reads(study):
    images = build_cohort(study, CohortConfig()).load("volume")
    save_rows(study / "rows", Volumes.of(images))
    stored = load_rows(study / "rows")
    assert row_digests(stored) == row_digests(images)
    assert "sub-03" in stored.source.names[2]


def test_other_types_and_plain_files_are_read(tmp_path):
    counts = np.arange(24, dtype=np.int16).reshape(2, 3, 2, 2)
    image = nib.Nifti1Image(counts, AFFINE)
    image.header.set_slope_inter(0.5, 1)
    nib.save(image, tmp_path / "a.nii")
    found = read_image(tmp_path / "a.nii")
    expected = np.moveaxis(nib.load(tmp_path / "a.nii").get_fdata(), -1, 0)
    np.testing.assert_allclose(found, expected)
    assert grid_of(tmp_path / "a.nii").n_volumes == 2
    nib.save(nib.Nifti1Image(counts[..., 0], AFFINE), tmp_path / "b.nii")
    with pytest.raises(InputError, match=r"b.nii: an image of shape \(2, 3, 2\)"):
        Images([[tmp_path / "b.nii"]])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"RepetitionTime": 2}, 2.0),
        ({"VolumeTiming": [1.0, 11.0, 21.0, 33.0]}, 10.0),
        ({"VolumeTiming": [1.0]}, None),
        ({"RepetitionTime": "2"}, None),
        ({}, None),
    ],
)
def test_the_clock_of_volumes_is_that_of_their_sidecar(tmp_path, said, expected):
    (tmp_path / "a_bold.json").write_text(json.dumps(said))
    assert seconds_between(tmp_path / "a_bold.nii.gz") == expected
