"""Images as blocks of volumes, against nibabel; and files that are damaged."""

import contextlib
import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidsclf.errors import InputError
from bidsclf.features._stream import flat, open_volumes, read_volume, stream

SHAPE = (5, 4, 3, 7)
AFFINE = np.diag([2.0, 3, 4, 1])


def save(path: Path, values: np.ndarray, *, kind=nib.Nifti1Image, scaling=None) -> Path:
    image = kind(values, AFFINE, dtype=values.dtype)
    image.header.set_xyzt_units("mm", "sec")
    if values.ndim == 4:
        image.header.set_zooms((2, 3, 4, 1.5))
    if scaling:
        image.header.set_slope_inter(*scaling)
    nib.save(image, path)
    return path


def noise(dtype="float32", shape=SHAPE) -> np.ndarray:
    return (100 * np.random.default_rng(0).random(shape)).astype(dtype)


def together(path: Path, n: int = 3) -> np.ndarray:
    with open_volumes(path) as reader:
        return np.concatenate([block.copy() for block in reader.blocks(n)])


def expected(path: Path) -> np.ndarray:
    return nib.load(path).get_fdata().reshape(-1, SHAPE[3], order="F").T


@pytest.mark.parametrize("n", [1, 3, 7, 50])
def test_blocks_are_the_volumes_in_order(tmp_path, n):
    path = save(tmp_path / "bold.nii.gz", noise())
    values = together(path, n)
    np.testing.assert_array_equal(values, expected(path))
    assert values.dtype == np.float32


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(
    "dtype",
    ["u1", "i1", "<i2", ">i2", "<u2", "<i4", ">i4", "<i8", ">f4", "<f4", "<f8", ">f8"],
)
def test_reads_what_nibabel_reads(tmp_path, dtype, kind):
    header = kind.header_class(endianness=dtype[0] if dtype[0] in "<>" else "<")
    image = kind(noise(dtype), AFFINE, header, dtype=np.dtype(dtype))
    path = tmp_path / "bold.nii"
    nib.save(image, path)
    np.testing.assert_allclose(together(path), expected(path), rtol=1e-6)


def test_scaling_is_applied(tmp_path):
    path = save(tmp_path / "bold.nii.gz", noise("int16"), scaling=(0.25, -1000))
    assert nib.load(path).dataobj.slope == 0.25
    np.testing.assert_allclose(together(path), expected(path), rtol=1e-6)


def test_nan_is_kept_and_gzip_is_told_by_content(tmp_path):
    values = noise()
    values[1, 2, 0, 3] = np.nan
    path = save(tmp_path / "bold.nii.gz", values)
    plain = tmp_path / "plain.nii.gz"  # a gzip name, but no gzip
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    np.testing.assert_array_equal(together(plain), expected(path))


def test_two_gzip_members_and_zero_padding_are_one_file(tmp_path):
    path = save(tmp_path / "bold.nii.gz", noise())
    whole = gzip.decompress(path.read_bytes())
    want = expected(path)
    path.write_bytes(
        gzip.compress(whole[:1000]) + gzip.compress(whole[1000:]) + bytes(64)
    )
    np.testing.assert_array_equal(together(path), want)


def test_header_is_told(tmp_path):
    reader = open_volumes(save(tmp_path / "bold.nii.gz", noise()))
    assert (reader.shape, reader.n_volumes, reader.tr_s) == ((5, 4, 3), 7, 1.5)
    assert reader.zooms == (2, 3, 4)
    np.testing.assert_array_equal(reader.affine, AFFINE)


def test_stream_shows_every_block_to_every_reducer(tmp_path):
    class Seen:
        def __init__(self):
            self.firsts, self.total = [], 0.0

        def update(self, block, first):
            self.firsts.append(first)
            self.total += block.sum(dtype=float)

    path, seen = save(tmp_path / "bold.nii.gz", noise()), (Seen(), Seen())
    stream(open_volumes(path), seen)
    for one in seen:
        assert one.firsts == list(range(7))
        assert one.total == pytest.approx(nib.load(path).get_fdata().sum())


def test_a_mask_s_columns_are_those_of_a_block(tmp_path):
    path = save(tmp_path / "bold.nii.gz", noise())
    mask = noise(shape=SHAPE[:3]) > 50
    want = nib.load(path).get_fdata()[mask].T
    assert sorted(together(path)[2, flat(mask)]) == sorted(want[2].astype("float32"))
    assert (mask.ravel(order="F")[flat(mask)]).all()


def test_a_mask_is_read_whole(tmp_path):
    mask = (noise(shape=SHAPE[:3]) > 50).astype("uint8")
    values, affine = read_volume(save(tmp_path / "mask.nii.gz", mask))
    np.testing.assert_array_equal(values, mask)
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(affine, AFFINE)


def test_a_reader_that_is_left_early_frees_its_file(tmp_path):
    path = save(tmp_path / "bold.nii.gz", noise())
    blocks = open_volumes(path).blocks(1)
    next(blocks)
    blocks.close()
    np.testing.assert_array_equal(together(path), expected(path))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.999])
def test_a_file_cut_anywhere_is_named(tmp_path, share):
    path = save(tmp_path / "bold.nii.gz", noise())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"bold\.nii\.gz: .*(cut off|no NIfTI header)"):
        together(path)


@pytest.mark.parametrize("lost", range(1, 9))
def test_even_the_last_bytes_of_gzip_are_missed(tmp_path, lost):
    path = save(tmp_path / "bold.nii.gz", noise())
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(InputError, match="cut off"):
        together(path)


def test_a_plain_file_that_is_too_short_says_how_far_it_goes(tmp_path):
    path = save(tmp_path / "bold.nii", noise())
    path.write_bytes(path.read_bytes()[: 352 + 240 * 5 + 7])
    with pytest.raises(InputError, match=r"end after 5 of 7 volumes.* again"):
        together(path)


def test_a_bad_checksum_is_found_at_the_end(tmp_path):
    path = save(tmp_path / "bold.nii.gz", noise())
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # within the CRC
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not readable as gzip.*damaged"):
        together(path)


def test_flipped_bytes_in_the_middle_are_found(tmp_path):
    path = save(tmp_path / "bold.nii.gz", noise())
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content) // 2 + 40):
        content[at] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bold\.nii\.gz: "):
        together(path)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_data_beyond_the_header_are_refused(tmp_path, suffix):
    path = save(tmp_path / f"bold.{suffix}", noise())
    content = path.read_bytes()
    more = bytes(240)
    if suffix == "nii.gz":
        path.write_bytes(gzip.compress(gzip.decompress(content) + more))
    else:
        path.write_bytes(content + more)
    with pytest.raises(InputError, match=r"go on after the 7 volumes"):
        together(path)


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 3, 2, 2)])
def test_another_rank_is_refused(tmp_path, shape):
    path = save(tmp_path / "bold.nii.gz", noise(shape=shape))
    with pytest.raises(InputError, match=rf"{len(shape)}D image .* is 4D"):
        open_volumes(path)


def test_a_mask_with_many_volumes_is_refused(tmp_path):
    path = save(tmp_path / "mask.nii.gz", noise())
    with pytest.raises(InputError, match=r"4D image .* 3D"):
        read_volume(path)


def edited(path: Path, at: int, content: bytes) -> Path:
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + content + whole[at + len(content) :])
    return path


def test_no_volumes_are_refused(tmp_path):
    path = edited(save(tmp_path / "bold.nii", noise()), 48, bytes(2))  # dim[4]
    with pytest.raises(InputError, match=r"shape \(5, 4, 3, 0\)"):
        open_volumes(path)


@pytest.mark.parametrize(
    ("values", "word"),
    [(noise("complex64"), "complex64"), (np.zeros(SHAPE, "u1,u1,u1"), "Colours")],
)
def test_values_that_are_no_numbers_are_refused(tmp_path, values, word):
    if values.dtype.names:
        values = values.astype([(c, "u1") for c in "RGB"])
    nib.save(nib.Nifti1Image(values, AFFINE), tmp_path / "bold.nii")
    with pytest.raises(InputError, match=word):
        open_volumes(tmp_path / "bold.nii")


def test_an_affine_without_volume_is_refused(tmp_path):
    path = save(tmp_path / "bold.nii", noise())
    edited(path, 280, bytes(16))  # srow_x
    with pytest.raises(InputError, match="cannot be inverted"):
        open_volumes(path)


@pytest.mark.parametrize("content", [b"", b"not an image at all" * 40])
def test_what_is_no_image_is_refused(tmp_path, content):
    path = tmp_path / "bold.nii.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no NIfTI header"):
        open_volumes(path)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.nii\.gz: not readable \(No such file"):
        open_volumes(tmp_path / "none.nii.gz")


def test_real_series_equal_nibabel(shared_data):
    for path in sorted((shared_data / "bold").glob("*.nii.gz")):
        reader, image = open_volumes(path), nib.load(path)
        assert reader.shape == image.shape[:3]
        block = next(reader.blocks(2)).copy()
        want = image.dataobj[..., :2].reshape(-1, 2, order="F").T
        np.testing.assert_allclose(block, want, rtol=1e-6)


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path):
    path = edited(save(tmp_path / "bold.nii", noise()), 42, b"\xff\x7f" * 4)
    with pytest.raises(InputError, match=r"promises \d+ bytes.*cannot hold"):
        open_volumes(path)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.filterwarnings("ignore::RuntimeWarning:nibabel")
def test_a_damaged_header_is_never_a_bug(tmp_path, kind, caplog):
    rng = np.random.default_rng(0)
    path = save(tmp_path / "bold.nii", noise(), kind=kind)
    whole = path.read_bytes()
    for _ in range(300):
        content = bytearray(whole)
        for at in rng.integers(0, 540, 3):
            content[at] = rng.integers(0, 256)
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            together(path)
