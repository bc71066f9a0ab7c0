"""Is extraction bound by gunzip alone? One run, seven atlases, against nilearn.

Makes a BOLD file of 97 x 115 x 97 x 400 voxels in a temporary folder, then measures
each contender in fresh processes, one after another, round by round, so that other
load on the machine meets all of them. Imports are not in the wall times (nilearn's
would flatter us), they are in the peak memory. Our atlases are read from the cache
that the first run of a grid leaves; that first run is printed beside. ours-volumes is
one atlas and, in the same pass, every volume on a grid of 34 cells.

    python benchmarks/extract.py [--folder DIR] [--volumes 400] [--rounds 3]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np

SHAPE = (97, 115, 97)  # MNI152NLin2009cAsym at 2 mm, as fMRIPrep writes it
AFFINE = np.array([[2.0, 0, 0, -96], [0, 2, 0, -132], [0, 0, 2, -78], [0, 0, 0, 1]])
BY_PATH = (
    "Schaefer200_space-MNI152NLin6_res-2x2x2.nii.gz",
    "Schaefer400_space-MNI152NLin6_res-2x2x2.nii.gz",
    "HarvardOxfordcort-maxprob-thr25_space-MNI152NLin6_res-2x2x2.nii.gz",
)
BY_NAME = ("aal", "aal3", "power264", "dosenbach160")
N_MAPS = 40  # MSDL has 39
PEERS = (
    *("gunzip", "ours-7", "ours-1", "ours-volumes"),
    *("nilearn-1", "ours-maps", "nilearn-maps"),
)
ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("BIDSCLF_SHARED", ROOT.parent / "shared"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="kept; default: a temporary one")
    parser.add_argument("--volumes", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "int16"])
    parser.add_argument("--only", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--shared", type=Path, default=SHARED, help="holds data/")
    parser.add_argument("--measure", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--bold", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.bold, args.folder, args.shared)))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        args.folder = args.folder or Path(temporary)
        return compare(args)


def compare(args: argparse.Namespace) -> int:
    describe_machine()
    args.folder.mkdir(parents=True, exist_ok=True)
    make_mask_and_maps(args.folder)
    passed = True
    for dtype in args.dtypes:
        bold = make_bold(args.folder, dtype, args.volumes)
        for old in args.folder.glob("*.npy"):
            old.unlink()
        first = once("ours-7", bold, args)
        runs = {peer: [] for peer in args.only}
        for _ in range(args.rounds):
            for peer in args.only:
                runs[peer].append(once(peer, bold, args))
        n_atlases = len(seven(args.shared))
        title = f"{bold.name}, {args.volumes} volumes; ours-7 has {n_atlases} atlases"
        passed &= report(title, first, runs)
        print_agreement(args.folder)
    return 0 if passed else 1


def once(peer: str, bold: Path, args: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", peer, "--bold", str(bold)]
    command += ["--folder", str(args.folder), "--shared", str(args.shared)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(out.stdout.splitlines()[-1])


def report(title: str, first: dict, runs: dict[str, list[dict]]) -> bool:
    print(f"\n{title}; best of {len(next(iter(runs.values())))} interleaved rounds")
    print(f"{'':14}{'wall s':>8}{'cpu s':>8}{'peak MB':>9}")
    rows = {"ours-7, first": [first], **runs}
    best = {
        name: {key: min(run[key] for run in taken) for key in ("wall", "cpu", "peak")}
        for name, taken in rows.items()
    }
    for name, row in best.items():
        print(f"{name:14}{row['wall']:8.2f}{row['cpu']:8.2f}{row['peak']:9.0f}")
    return check(best)


def check(best: dict[str, dict[str, float]]) -> bool:
    wall = {name: row["wall"] for name, row in best.items()}
    claims = [
        ("7 atlases / gunzip alone", "ours-7", "gunzip", "<=", 1.3),
        ("one atlas and volumes / one atlas", "ours-volumes", "ours-1", "<=", 1.3),
        ("nilearn / ours, one label atlas", "nilearn-1", "ours-1", ">=", 5.0),
        (f"nilearn / ours, {N_MAPS} maps", "nilearn-maps", "ours-maps", ">=", 10.0),
    ]
    results = [
        (text, wall[above] / wall[below], sign, target)
        for text, above, below, sign, target in claims
        if above in wall and below in wall
    ]
    peaks = [row["peak"] for name, row in best.items() if name.startswith("ours")]
    results.append(("peak memory of ours, MB", max(peaks), "<=", 300.0))
    if {"gunzip", "ours-7"} <= best.keys():
        ratio = best["ours-7"]["cpu"] / best["gunzip"]["cpu"]
        print(f"      7 atlases / gunzip alone, processor time: {ratio:.2f}")
    passed = True
    for text, value, sign, target in results:
        fits = value <= target if sign == "<=" else value >= target
        passed &= fits
        print(f"{'PASS' if fits else 'FAIL'}  {text}: {value:.2f} ({sign} {target:g})")
    return passed


def print_agreement(folder: Path) -> None:
    for kind in ("1", "maps"):
        files = [folder / f"{who}-{kind}.npy" for who in ("ours", "nilearn")]
        if all(file.exists() for file in files):
            ours, theirs = (np.load(file).astype(float) for file in files)
            ours = ours[:, ~np.isnan(ours).any(axis=0)]
            r = [np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs.T, strict=True)]
            print(f"agreement with nilearn, {kind}: 1 - r <= {1 - min(r):.1e}")


def describe_machine() -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((x.split(": ")[1] for x in lines if x.startswith("model name")), "?")
    packages = ("numpy", "scipy", "nibabel", "nilearn", "isal")
    print(f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"Python {platform.python_version()},", end=" ")
    print(", ".join(f"{name} {version(name)}" for name in packages))
    print("command:", *sys.argv)


def measure(peer: str, bold: Path, folder: Path, shared: Path) -> dict[str, float]:
    run = prepared(peer, bold, folder, shared)  # imports are done here, not timed
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    row = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": peak_mb(),
    }
    if result is not None:
        np.save(folder / f"{peer}.npy", result)
    return row


def peak_mb() -> float:
    """Return this process' peak; getrusage would count the parent's, from the fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def prepared(peer: str, bold: Path, folder: Path, shared: Path) -> Callable:
    who, _, what = peer.partition("-")
    if who == "gunzip":
        return partial(gunzip, igzip_of(), bold)
    if who == "nilearn":
        return nilearn(what, bold, folder)
    one = ["aal"]
    atlases = {"1": one, "volumes": one, "maps": [str(folder / "blobs.nii.gz")]}
    known = atlases.get(what) or seven(shared)
    return ours(known, bold, folder, has_volumes=what == "volumes")


def seven(shared: Path) -> list[str]:
    """Return names and paths of the atlases; those without a file are left out."""
    paths = [shared / "data" / "atlases" / name for name in BY_PATH]
    return [*BY_NAME, *(str(path) for path in paths if path.is_file())]


def igzip_of() -> ModuleType:
    from isal import igzip

    return igzip


def gunzip(igzip: ModuleType, bold: Path) -> None:
    buffer = bytearray(2**19)  # the fastest of 32 KiB to 4 MiB here
    with bold.open("rb", buffering=0) as file, igzip.open(file, "rb") as source:
        while source.readinto(buffer):
            pass


def ours(
    atlases: list[str], bold: Path, folder: Path, *, has_volumes: bool = False
) -> Callable:
    from bidsclf.features._atlas import load_atlas
    from bidsclf.features._means import RegionMeans
    from bidsclf.features._resize import MNI_BOX_MM, SmallGrid, SmallVolumes
    from bidsclf.features._stream import open_volumes, read_volume, stream
    from bidsclf.features._weights import weights

    def run() -> np.ndarray:
        reader = open_volumes(bold)
        mask = read_volume(folder / "mask.nii.gz")[0] > 0
        given = {
            "shape": reader.shape,
            "affine": reader.affine,
            "mask": mask if len(atlases) > 1 else None,  # maskers have none by default
            "cache_dir": folder / "cache",
        }
        parts = [weights(load_atlas(atlas), **given) for atlas in atlases]
        means = RegionMeans(parts, reader.n_volumes)
        reducers = [means]
        if has_volumes:
            grid = SmallGrid(size=34, box_mm=np.array(MNI_BOX_MM))
            reducers.append(SmallVolumes(reader, mask, grid))
        stream(reader, reducers)
        return means.means[0]

    return run


def nilearn(what: str, bold: Path, folder: Path) -> Callable:
    from nilearn import maskers

    from bidsclf.features._atlas import load_atlas

    image = load_atlas("aal").image if what == "1" else folder / "blobs.nii.gz"
    kinds = {"1": maskers.NiftiLabelsMasker, "maps": maskers.NiftiMapsMasker}
    masker = kinds[what](
        str(image),
        resampling_target="data",
        standardize=None,
        reports=False,
    )
    return lambda: masker.fit_transform(str(bold))


def make_mask_and_maps(folder: Path) -> None:
    """Write a brain-sized ellipsoid, and smooth blobs in it on nilearn's grid."""
    import nibabel as nib

    mask_file, maps_file = folder / "mask.nii.gz", folder / "blobs.nii.gz"
    if mask_file.exists() and maps_file.exists():
        return
    nib.save(nib.Nifti1Image(brain().astype(np.uint8), AFFINE), mask_file)
    rng = np.random.default_rng(0)
    shape, affine = (49, 58, 49), AFFINE @ np.diag([2, 2, 2, 1])  # 4 mm
    inside = np.argwhere(brain()[::2, ::2, ::2])
    centres = inside[rng.permutation(len(inside))[:N_MAPS]]
    place = np.stack(np.indices(shape), axis=-1)
    maps = np.empty((*shape, N_MAPS), np.float32)
    for k, centre in enumerate(centres):
        near = np.exp(-((place - centre) ** 2).sum(axis=-1) / 18)
        maps[..., k] = np.where(near > 0.01, near, 0)
    nib.save(nib.Nifti1Image(maps, affine), maps_file)


def brain() -> np.ndarray:
    """Return an ellipsoid of about 235,000 voxels, as many as MNI's brain has."""
    place = np.stack(np.indices(SHAPE), axis=-1) * 2.0 + AFFINE[:3, 3]
    return (((place - [0, -18, 18]) / [70, 88, 73]) ** 2).sum(axis=-1) < 1


def make_bold(folder: Path, dtype: str, n_volumes: int) -> Path:
    """Write noise of realistic entropy: brain, dim surround, zeros out of view."""
    import nibabel as nib
    from isal import igzip

    bold = folder / f"bold-{dtype}-{n_volumes}.nii.gz"
    if bold.exists():
        return bold
    rng = np.random.default_rng(1)
    header = nib.Nifti1Header()
    header.set_data_shape((*SHAPE, n_volumes))
    header.set_data_dtype(dtype)
    header.set_sform(AFFINE, 4)
    header["magic"], header["vox_offset"], header["scl_slope"] = b"n+1", 352, 1
    in_view = np.zeros(SHAPE, bool)
    in_view[8:90, 6:110, 4:92] = True  # a tilted scanner box covers most of the grid
    base = np.where(brain(), rng.normal(9000, 2000, SHAPE), 60.0) * in_view
    spread = np.where(brain(), 100.0, 15.0) * in_view
    partial_file = bold.with_suffix(".partial")
    with igzip.open(partial_file, "wb", compresslevel=2) as out:
        out.write(header.binaryblock + bytes(4))
        for _ in range(n_volumes):
            noise = rng.standard_normal(SHAPE, np.float32)
            volume = np.abs(base + spread * noise).astype(dtype)
            out.write(volume.tobytes(order="F"))
    return partial_file.replace(bold)


if __name__ == "__main__":
    raise SystemExit(main())
