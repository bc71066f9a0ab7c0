"""Decoding: by brute force on drawn studies, by NiMARE and anatomy on real ones."""

import gzip
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from bidsclf.features._atlas import load_atlas
from bidsclf.interpret import decoding
from bidsclf.interpret.decoding import Studies, association, decode, read_studies
from bidsclf.interpret.regions import GRID, GRID_SHAPE, Parcels, parcels_of

N_STUDIES = 60


def drawn_studies(seed: int = 0) -> tuple[Studies, pd.DataFrame]:
    """Studies about 'here' report peaks near (0, 0, 0), the others anywhere."""
    rng = np.random.default_rng(seed)
    weights = rng.random((N_STUDIES, 3)) ** 3
    weights[:, 2] = 0.2  # whose mean is not 0.2 to the last digit
    rows = []
    for study, (about, _, _) in enumerate(weights):
        near = rng.normal(0, 6, (int(8 * about), 3))
        rows += [(study, *peak) for peak in near]
        rows += [(study, *peak) for peak in rng.uniform(-60, 60, (4, 3))]
    table = pd.DataFrame(rows, columns=["id", "x", "y", "z"])
    kept = scipy.sparse.csr_array(weights)
    terms = ("0_here_now", "1_there", "2_ever")
    peaks = table[["x", "y", "z"]].to_numpy()
    return Studies(peaks, table["id"].to_numpy(), kept, terms), table


def ball() -> np.ndarray:
    voxels = np.indices(GRID_SHAPE).reshape(3, -1).T @ GRID[:3, :3] + GRID[:3, 3]
    return (np.linalg.norm(voxels, axis=1) <= 9).reshape(GRID_SHAPE)


def files(folder: Path, *, space: str = "MNI") -> Path:
    """Write drawn studies as Neurosynth's files."""
    studies, table = drawn_studies()
    ids = 1000 + np.arange(N_STUDIES)
    table["id"] = ids[table["id"]]
    table.to_csv(folder / "data_coordinates.tsv.gz", sep="\t", index=False)
    about = pd.DataFrame({"id": ids, "space": space})
    about.to_csv(folder / "data_metadata.tsv.gz", sep="\t", index=False)
    scipy.sparse.save_npz(
        folder / "data_features.npz", scipy.sparse.csr_matrix(studies.weights)
    )
    (folder / "data_vocabulary.txt").write_text("\n".join(studies.terms))
    return folder


@pytest.fixture
def parcels() -> Parcels:
    labels = np.where(ball(), 1, 0)
    labels[:5, :5, :5] = 2  # far from every peak
    return Parcels(("ball", "corner"), labels, GRID)


def test_the_association_equals_brute_force():
    studies, table = drawn_studies()
    mask = ball()
    points = np.argwhere(mask) * 2 + GRID[:3, 3]
    share = []
    for study in range(N_STUDIES):
        peaks = np.rint(table[table.id == study][["x", "y", "z"]].to_numpy() / 2) * 2
        off = np.linalg.norm(points[:, None] - peaks, axis=2)
        share.append((off <= 10).any(axis=1).mean())
    weights = studies.weights.toarray()
    expected = [np.corrcoef(share, column)[0, 1] for column in weights.T[:2]]
    r = association(mask, studies)
    np.testing.assert_allclose(r[:2], expected, rtol=1e-9)
    assert np.isnan(r[2])  # the term of constant weight


def test_the_order_of_peaks_and_studies_says_nothing():
    studies, _ = drawn_studies()
    order = np.random.default_rng(1).permutation(N_STUDIES)
    moved = Studies(
        studies.peaks, np.argsort(order)[studies.study], studies.weights[order], ()
    )
    shuffled = np.argsort(moved.study, kind="stable")
    moved = Studies(moved.peaks[shuffled], moved.study[shuffled], moved.weights, ())
    mask = ball()
    np.testing.assert_allclose(association(mask, moved), association(mask, studies))


def test_a_table_ranks_the_terms_of_every_community(tmp_path, parcels):
    found = decode({4: ("ball",)}, parcels, model="lstm-dg", folder=files(tmp_path))
    assert list(found.table) == ["model", "community", "term", "correlation", "rank"]
    assert found.table["term"].tolist() == ["here now", "there"]
    assert found.table["rank"].tolist() == [1, 2]
    assert found.table["correlation"][0] > 0.5
    assert "data_features.npz" in found.note


def test_peaks_in_talairach_space_are_moved_to_mni(tmp_path):
    studies = read_studies(decoding._paths(files(tmp_path, space="TAL")))
    plain, _ = drawn_studies()
    back = np.c_[studies.peaks, np.ones(len(studies.peaks))] @ decoding.TO_TALAIRACH.T
    np.testing.assert_allclose(back[:, :3], plain.peaks, atol=1e-9)


def test_without_data_or_voxels_a_note_says_what_to_give(tmp_path, parcels):
    chosen = {1: ("ball",)}
    for folder, where, said in (
        (None, parcels, "--decoding-data"),
        (tmp_path, None, "--atlas-image"),
        (tmp_path, parcels, r"0 files are named *_coordinates.tsv.gz"),
    ):
        found = decode(chosen, where, model="m", folder=folder)
        assert found.table.empty
        assert "Not decoded" in found.note
        assert said in found.note


@pytest.mark.parametrize("kind", ["coordinates.tsv.gz", "features.npz"])
def test_a_damaged_file_is_a_note_and_no_crash(tmp_path, parcels, kind):
    folder = files(tmp_path)
    whole = (folder / f"data_{kind}").read_bytes()
    (folder / f"data_{kind}").write_bytes(whole[: len(whole) // 2])
    found = decode({1: ("ball",)}, parcels, model="m", folder=folder)
    assert found.table.empty
    assert "Not decoded" in found.note


def test_a_stream_damaged_in_its_middle_is_a_note(tmp_path, parcels):
    path = files(tmp_path) / "data_coordinates.tsv.gz"
    whole, packer = gzip.decompress(path.read_bytes()), zlib.compressobj(wbits=31)
    half = packer.compress(whole[: len(whole) // 2])
    path.write_bytes(half + packer.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 999)
    with pytest.raises(zlib.error):
        gzip.decompress(path.read_bytes())
    found = decode({1: ("ball",)}, parcels, model="m", folder=tmp_path)
    assert found.table.empty
    assert "Not decoded" in found.note


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("from numpy import no_such_name", "ImportError"),
        ("import zlib; raise zlib.error('of its own')", "error"),
        ("raise AttributeError('gone in the next version')", "AttributeError"),
        ("None + 1", "TypeError"),
    ],
)
def test_a_nimare_that_fails_is_replaced_and_said(
    tmp_path, parcels, monkeypatch, code, kind
):
    (tmp_path / "lib" / "nimare").mkdir(parents=True)
    (tmp_path / "lib" / "nimare" / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    for name in [name for name in sys.modules if name.partition(".")[0] == "nimare"]:
        monkeypatch.delitem(sys.modules, name)
    found = decode({1: ("ball",)}, parcels, model="m", folder=files(tmp_path))
    assert found.table["term"].tolist() == ["here now", "there"]
    assert f"by bidsclf, as NiMARE does, which is installed and failed ({kind}: " in (
        found.note
    )


def test_files_of_two_vocabularies_are_not_mixed(tmp_path, parcels):
    folder = files(tmp_path)
    (folder / "data_vocabulary.txt").write_text("one\ntwo")
    found = decode({1: ("ball",)}, parcels, model="m", folder=folder)
    assert "(60, 3) for 60 studies and 2 terms" in found.note


def test_communities_without_voxels_are_counted(tmp_path, parcels):
    chosen = {1: ("ball",), 2: ("elsewhere",)}
    found = decode(chosen, parcels, model="m", folder=files(tmp_path))
    assert set(found.table["community"]) == {1}
    assert "1 communities have no voxels" in found.note


# ------------------------------------------------------------------ real studies


@pytest.fixture(scope="module")
def aal() -> Parcels:
    atlas = load_atlas("aal")
    return parcels_of(atlas.regions, atlas, range(len(atlas.regions)))


@pytest.fixture
def neurosynth(shared_data) -> Path:
    folder = shared_data / "neurosynth"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder


def test_anatomy_is_decoded_as_published(neurosynth, aal, monkeypatch):
    monkeypatch.setattr(decoding, "find_spec", lambda name: None)
    places = {1: "Amygdala", 2: "Hippocampus", 3: "Heschl", 4: "Caudate"}
    chosen = {n: (f"{place}_L", f"{place}_R") for n, place in places.items()}
    found = decode(chosen, aal, model="aal", folder=neurosynth)
    best = found.table[found.table["rank"] == 1]["term"].tolist()
    for term, said in zip(
        best, ("amygdala", "memory", "auditory", "reward"), strict=True
    ):
        assert said in term


@pytest.mark.slow
def test_nimare_says_the_same(neurosynth, aal, monkeypatch):
    pytest.importorskip("nimare", reason="NiMARE is not installed; see extra decode")
    chosen = {1: ("Amygdala_L", "Amygdala_R")}
    theirs = decode(chosen, aal, model="aal", folder=neurosynth)
    monkeypatch.setattr(decoding, "find_spec", lambda name: None)
    ours = decode(chosen, aal, model="aal", folder=neurosynth)
    assert "by NiMARE" in theirs.note
    pd.testing.assert_frame_equal(ours.table, theirs.table, atol=1e-6)
