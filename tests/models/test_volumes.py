"""Images as rows: views, samples, and one checksummed file that is read lazily."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.errors import ConfigError, InputError
from bidsclf.models import _crops
from bidsclf.models._checkpoint import digest_of
from bidsclf.models._chunks import FILE
from bidsclf.models._crops import Crops
from bidsclf.models._rows import canonical_order, load_rows, row_digests, save_rows
from bidsclf.models._sides import Side
from bidsclf.models._training import Part
from bidsclf.models._volumes import Volumes

GRID = (3, 4, 5)


def images(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, *GRID)).astype(np.float32) for n in lengths]


class Lazy:
    """Images that count how often they are read."""

    def __init__(self, scans, names=None):
        self.scans, self.read_at = scans, []
        self.shapes = [one.shape for one in scans]
        self.names = names or [f"sub-{at:02d}" for at in range(len(scans))]

    def __len__(self):
        return len(self.scans)

    def __getitem__(self, at):
        self.read_at.append(at)
        return self.scans[at]


def everything(crops):
    return crops.batch(np.arange(len(crops)))


def test_nothing_is_read_until_it_is_asked_for():
    lazy = Lazy(images([4, 6, 5]))
    rows = Volumes.of(lazy)[np.array([2, 0])]
    assert (rows.shape, rows.lengths.tolist(), len(rows)) == (GRID, [4, 6, 5], 2)
    assert len(Crops(rows, 2, "crops")) == 4 + 3
    assert lazy.read_at == []
    np.testing.assert_array_equal(next(iter(rows)), lazy.scans[2])
    assert lazy.read_at == [2]


def test_the_file_holds_what_was_saved_row_by_row(tmp_path):
    scans = images([4, 6, 5])
    lazy = Lazy(scans, ["sub-01", "sub-Ü2", "sub-03"])
    save_rows(tmp_path, Volumes.of(lazy)[np.array([2, 0, 1])])
    assert lazy.read_at == [2, 0, 1]
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    again = load_rows(tmp_path)
    assert again.source.names == ["sub-03", "sub-01", "sub-Ü2"]
    for row, scan in zip(again, (scans[2], scans[0], scans[1]), strict=True):
        np.testing.assert_array_equal(row, scan)
    some = again[np.array([2, 1])]
    np.testing.assert_array_equal(
        some.read(0, np.array([5, 0, 1])), scans[1][[5, 0, 1]]
    )
    np.testing.assert_array_equal(some.read(1, slice(1, 3)), scans[0][1:3])
    assert some.read(0, np.array([], int)).shape == (0, *GRID)


def test_no_chunk_holds_two_people_and_each_has_a_checksum(tmp_path):
    save_rows(tmp_path, Volumes.of(images([4, 6])))
    with h5py.File(tmp_path / FILE) as file:
        assert file["volumes"].chunks == (1, *GRID)
        assert file["volumes"].dtype == np.float32
        assert all(one.fletcher32 for one in file.values())


def test_digests_are_those_of_the_numbers_and_are_kept(tmp_path):
    scans = images([4, 6, 5])
    save_rows(tmp_path, Volumes.of(scans))
    stored, y = load_rows(tmp_path), np.array([0, 1, 0])
    assert row_digests(stored) == row_digests(scans) == row_digests(Volumes.of(scans))
    some = np.array([2, 0])
    assert row_digests(stored[some]) == [row_digests(scans)[at] for at in some]
    np.testing.assert_array_equal(
        canonical_order(stored, y), canonical_order(Volumes.of(scans), y)
    )
    (tmp_path / FILE).unlink()
    assert digest_of((stored, y)) == digest_of((Volumes.of(scans), y))  # reads nothing


@given(
    lengths=st.lists(st.integers(6, 15), min_size=1, max_size=4),
    n_steps=st.integers(1, 6),
    pick=st.sampled_from(_crops.PICKS),
    seed=st.integers(0, 99),
)
def test_samples_are_the_volumes_that_their_name_says(lengths, n_steps, pick, seed):
    scans = images(lengths, seed)
    order = np.random.default_rng(seed).permutation(len(scans))
    crops = Crops(Volumes.of(scans)[order], n_steps, pick)
    expected = []
    for person, at in enumerate(order):
        n = lengths[at]
        if pick == "even":
            starts = [np.rint(np.linspace(0, n - 1, n_steps)).astype(int)]
        elif pick == "middle":
            starts = [(n - n_steps) // 2 + np.arange(n_steps)]
        else:
            firsts = [*range(0, n - n_steps, max(1, n_steps // 2)), n - n_steps]
            starts = [first + np.arange(n_steps) for first in firsts]
        expected += [(person, scans[at][which]) for which in starts]
    x, told = everything(crops)
    assert crops.person.tolist() == [person for person, _ in expected]
    assert x.dtype == torch.float32
    assert told.tolist() == [n_steps] * len(expected)
    for sample, (at, (_, wanted)) in zip(x, enumerate(expected), strict=True):
        np.testing.assert_array_equal(sample, wanted)
        np.testing.assert_array_equal(crops[at], wanted)


def test_whole_images_are_padded_at_the_end():
    scans = images([4, 6, 5])
    x, lengths = Crops(Volumes.of(scans), 0).batch(np.array([2, 0]))
    assert x.shape == (2, 5, *GRID)
    assert lengths.tolist() == [5, 4]
    np.testing.assert_array_equal(x[0], scans[2])
    np.testing.assert_array_equal(x[1, :4], scans[0])
    assert not x[1, 4:].any()


def test_a_dataset_goes_to_the_workers_of_a_loader(tmp_path):
    scans = images([4, 4, 4])
    save_rows(tmp_path, Volumes.of(scans))
    dataset = Crops(load_rows(tmp_path), 0)
    np.testing.assert_array_equal(dataset[0], scans[0])  # opened here, before
    loader = torch.utils.data.DataLoader(dataset, batch_size=2)
    np.testing.assert_array_equal(torch.cat(list(loader)), np.stack(scans))
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again[2], scans[2])


def _sum(dataset, at):
    return float(dataset[at].double().sum())


def test_a_fork_opens_the_file_for_itself(tmp_path):
    scans = images([4, 4])
    save_rows(tmp_path, Volumes.of(scans))
    dataset = Crops(load_rows(tmp_path), 0)
    here = _sum(dataset, 0)
    store = dataset.volumes.source
    store._open = (os.getpid() + 1, None)  # as a fork finds the parent's handle
    assert _sum(dataset, 0) == here
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(_sum, dataset, 0).result() == here


def test_the_cache_keeps_at_most_what_it_may(tmp_path):
    save_rows(tmp_path, Volumes.of(images([4, 4])))
    for cache in (10**6, 2**28):
        rows = load_rows(tmp_path, cache)
        rows.read(0, slice(None))
        access = rows.source._open[1].file.id.get_access_plist()
        assert access.get_cache()[1:] == (9, cache, 0.0)


def test_epochs_visit_people_together_and_leave_nobody_out(monkeypatch):
    rows = Volumes.of(images([9] * 6))
    one = Crops(rows, 4, "middle")
    which = np.random.default_rng(0).permutation(len(one))
    np.testing.assert_array_equal(one.arranged(which), which)
    monkeypatch.setattr(_crops, "SPAN", 2 * 9 * 4 * np.prod(GRID))  # two people
    crops = Crops(rows, 4, "crops")
    which = np.random.default_rng(0).permutation(len(crops))
    arranged = crops.arranged(which)
    assert sorted(arranged) == list(range(len(crops)))
    coming = list(dict.fromkeys(crops.person[which]))
    blocks = crops.person[arranged].reshape(3, -1)
    assert [sorted(set(block)) for block in blocks] == [
        sorted(coming[at : at + 2]) for at in (0, 2, 4)
    ]
    place = {sample: at for at, sample in enumerate(which)}
    for block in arranged.reshape(3, -1):
        assert sorted(block, key=place.get) == block.tolist()


def test_an_epoch_reads_as_arranged():
    crops = Crops(Volumes.of(images([9] * 6)), 4, "crops")
    crops.arranged = lambda which: np.sort(which)
    side = Side(Part(crops, np.zeros(6), np.ones(6)), torch.device("cpu"))
    assert side.draw(0).tolist() == list(range(len(crops)))
    drawn = side.draw(1)
    assert crops.person[drawn].tolist() == list(range(6))


def damage(path, at):
    """Change one byte of the first number of a volume in the file."""
    with h5py.File(path) as file:
        place = file["volumes"].id.get_chunk_info_by_coord((at, 0, 0, 0)).byte_offset
    whole = bytearray(path.read_bytes())
    whole[place] ^= 1
    path.write_bytes(whole)


def test_a_damaged_chunk_names_its_person_and_spares_the_others(tmp_path):
    scans = images([4, 6, 5])
    save_rows(tmp_path, Volumes.of(Lazy(scans)))
    damage(tmp_path / FILE, 4 + 2)
    rows = load_rows(tmp_path)
    np.testing.assert_array_equal(rows.read(0, slice(None)), scans[0])
    np.testing.assert_array_equal(rows.read(1, slice(0, 2)), scans[1][:2])
    message = r"volumes.h5: the images of sub-01 cannot be read .*stores all images"
    with pytest.raises(InputError, match=message):
        rows.read(1, slice(None))
    with pytest.raises(InputError, match="sub-01"):
        everything(Crops(rows, 3, "even"))


@pytest.mark.parametrize("kept", [0, 300, 5000])
def test_a_file_that_is_cut_short_is_refused(tmp_path, kept):
    save_rows(tmp_path, Volumes.of(images([40, 60])))
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"volumes.h5: its images cannot be read"):
        load_rows(tmp_path)


def test_a_file_that_goes_away_is_named(tmp_path):
    save_rows(tmp_path, Volumes.of(images([4])))
    rows = load_rows(tmp_path)
    (tmp_path / FILE).unlink()
    with pytest.raises(InputError, match=r"images of row 0 cannot be read .*gone"):
        rows.read(0, slice(None))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.full((5, *GRID), np.nan, np.float32), "sub-01: volumes: 1 of 1 rows hold"),
        (np.ones((4, *GRID), np.float32), r"sub-01: the image holds \(4, 3, 4, 5\); "),
    ],
)
def test_a_write_that_fails_leaves_what_was_there(tmp_path, bad, message):
    save_rows(tmp_path, Volumes.of(images([4])))
    before = (tmp_path / FILE).read_bytes()
    lazy = Lazy(images([4, 5]))
    lazy.scans[1] = bad
    with pytest.raises(InputError, match=message):
        save_rows(tmp_path, Volumes.of(lazy))
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("room", [10_000, 300_000, 1_100_000])
def test_a_disk_that_is_full_is_told(tmp_path, room):
    code = (
        "import resource, signal, sys; import numpy as np; from pathlib import Path\n"
        "from bidsclf.models._rows import save_rows\n"
        "from bidsclf.models._volumes import Volumes\n"
        "scans = [np.ones((9, 17, 17, 17), np.float32)] * 8\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        "save_rows(Path(sys.argv[1]), Volumes.of(scans))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # no segmentation fault
    said = done.stderr.splitlines()[-1]
    assert "volumes.h5: the images cannot be stored ([Errno 27]" in said
    assert "--work-dir" in said
    assert list(tmp_path.iterdir()) == []


def test_signals_while_images_are_stored_end_as_any_other(tmp_path):
    code = (
        "import os, signal, sys, threading; import numpy as np\n"
        "from pathlib import Path; from bidsclf.models._volumes import Volumes\n"
        "from bidsclf.models._rows import save_rows\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        "scans = Volumes.of([np.ones((99, 9, 9, 9), np.float32)] * 600)\n"
        "threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()\n"
        "save_rows(Path(sys.argv[1]), scans)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # not -11, of a segmentation fault; 0 where Python dropped it, in a weak reference
    assert done.returncode in (143, 0), done.stderr
    assert not list(tmp_path.glob(".partial-*"))


def test_the_file_is_no_larger_than_its_content(tmp_path):
    scans = images([4, 6])
    save_rows(tmp_path, Volumes.of(scans))
    content = sum(scan.nbytes for scan in scans)
    assert content < (tmp_path / FILE).stat().st_size < content + 20_000


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / f".partial-1-{FILE}").write_bytes(b"half")
    save_rows(tmp_path, Volumes.of(images([4])))
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_bit_flipped_anywhere_is_never_read_as_numbers(tmp_path):
    scans = images([4, 6])
    save_rows(tmp_path, Volumes.of(scans))
    path, rng = tmp_path / FILE, np.random.default_rng(0)
    whole = path.read_bytes()
    places = rng.choice(np.flatnonzero(np.frombuffer(whole, np.uint8)), 150)
    n_refused = 0
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            found = list(load_rows(tmp_path))
        except InputError:
            n_refused += 1
            continue
        for one, scan in zip(found, scans, strict=True):
            np.testing.assert_array_equal(one, scan)
    assert n_refused > 100


def test_numbers_that_are_not_those_of_the_digest_are_refused(tmp_path):
    save_rows(tmp_path, Volumes.of(images([4, 6])))
    with h5py.File(tmp_path / FILE, "r+") as file:
        file["volumes"][5] += 1
    rows = load_rows(tmp_path)
    rows.read(0, slice(None))
    with pytest.raises(InputError, match=r"row 1 .*other numbers than were stored"):
        rows.read(1, slice(None))


@pytest.mark.parametrize(
    "scans",
    [
        [],
        [np.ones((3, *GRID)), np.ones((3, 3, 4, 6))],
        [np.ones((0, *GRID))],
        [np.ones(GRID)],
    ],
)
def test_images_on_other_grids_are_refused(scans):
    with pytest.raises(InputError, match=r"volumes have the shapes .*same grid"):
        Volumes.of(scans)


def test_images_that_are_not_finite_are_refused():
    scans = images([3, 3])
    scans[1][0, 0, 0, 0] = np.inf
    with pytest.raises(InputError, match=r"1 of 2 rows hold .*first \[1\]"):
        Volumes.of(scans)


def test_scans_that_are_too_short_are_counted():
    with pytest.raises(InputError, match=r"2 of 3 scans have fewer than 5 volumes .*3"):
        Crops(Volumes.of(images([4, 9, 3])), 5)
    for n_steps, pick in ((-1, "even"), (5, "odd")):
        with pytest.raises(ConfigError, match=r"even, middle, crops"):
            Crops(Volumes.of(images([9])), n_steps, pick)
