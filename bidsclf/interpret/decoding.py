"""What communities may do: their regions against the topics of published studies."""

import re
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import nibabel
import numpy as np
import pandas as pd
import scipy.sparse
from scipy.spatial import cKDTree

from bidsclf.interpret.regions import GRID, Parcels

REACH_MM = 10.0  # of a peak; MKDA, Wager et al. 2007, doi:10.1093/scan/nsm015
FAULTS = (  # of files that are damaged, or not what their names say
    *(OSError, EOFError, ValueError, TypeError, LookupError, RuntimeError),
    *(BadZipFile, zlib.error, pd.errors.InvalidIndexError),
)
COLUMNS = ("model", "community", "term", "correlation", "rank")
FILES = {
    "coordinates": "*_coordinates.tsv.gz",
    "metadata": "*_metadata.tsv.gz",
    "features": "*_features.npz",
    "vocabulary": "*_vocabulary.txt",
}
TO_TALAIRACH = np.array(  # MNI to Talairach, any other software; Lancaster et al. 2007
    [  # Human Brain Mapping 28(11), 1194-1205, doi:10.1002/hbm.20345
        [0.9357, 0.0029, -0.0072, -1.0423],
        [-0.0065, 0.9396, -0.0726, -1.3940],
        [0.0103, 0.0752, 0.8967, 3.6475],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Studies:
    """Published studies: where they report peaks, and what they are about.

    Attributes
    ----------
    peaks : float array of shape (P, 3)
        mm, MNI.
    study : int array of shape (P,)
        Row of ``weights`` of each peak.
    weights : sparse float array of shape (S, F)
        Weight of each term or topic in each study.
    terms : tuple of str
    """

    peaks: np.ndarray
    study: np.ndarray
    weights: scipy.sparse.csr_array
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What came out of a decoding.

    Attributes
    ----------
    table : DataFrame
        model, community, term, correlation, rank (1 is the largest); empty where
        nothing could be decoded.
    note : str
        How it was decoded, or why not and what to do.
    """

    table: pd.DataFrame
    note: str


def decode(
    chosen: Mapping[int, Sequence[str]],
    parcels: Parcels | None,
    *,
    model: str,
    folder: Path | None,
) -> Decoded:
    """Relate the regions of communities to what studies of them are about.

    Of each study, the share of the regions' voxels within 10 mm of one of its
    peaks; of each term, the correlation of that share with the term's weight,
    over all studies. This is NiMARE's ROIAssociationDecoder, which is used where
    it is installed, and else computed here from the same files. The paper asks
    the Neurosynth site instead, which takes a mask's map and not its peaks.

    Parameters
    ----------
    chosen : mapping of community -> names of its regions
        NiMARE takes a minute a community: give those of interest.
    parcels : Parcels or None
        Voxels of the regions.
    model : str
    folder : Path or None
        Neurosynth's files of one version: coordinates, metadata, features and
        vocabulary.

    References
    ----------
    Yarkoni et al. (2011), Nature Methods 8, 665-670, doi:10.1038/nmeth.1635;
    Salo et al. (2023), Aperture Neuro 3, doi:10.52294/001c.87681 (NiMARE).
    """
    empty = pd.DataFrame(columns=list(COLUMNS))
    if folder is None or parcels is None:
        what, option = "Neurosynth's files", "--decoding-data"
        if folder is not None:
            what, option = "the voxels of the regions", "--atlas-image"
        return Decoded(empty, f"Not decoded: {what} are not given. Use {option}.")
    try:
        paths = _paths(folder)
        masks = {number: parcels.on_grid(names) for number, names in chosen.items()}
        kept = {number: mask for number, mask in masks.items() if mask.any()}
        found, how = _correlations(kept, paths)
    except FAULTS as error:
        return Decoded(empty, f"Not decoded: {folder}: {error}")
    note = f"Decoded against {paths['features'].name} by {how}."
    if len(kept) < len(chosen):
        note += f" {len(chosen) - len(kept)} communities have no voxels."
    tables = [_table(model, number, r) for number, r in found.items()]
    table = pd.concat(tables, ignore_index=True) if tables else empty
    return Decoded(table, note)


def read_studies(paths: Mapping[str, Path]) -> Studies:
    """Read Neurosynth's files; Talairach peaks are brought to MNI.

    Parameters
    ----------
    paths : mapping
        Of 'coordinates', 'metadata', 'features' and 'vocabulary'.
    """
    about = pd.read_csv(paths["metadata"], sep="\t", usecols=["id", "space"])
    table = pd.read_csv(paths["coordinates"], sep="\t", usecols=["id", *"xyz"])
    with paths["features"].open("rb") as stream:  # scipy leaves a damaged one open
        weights = scipy.sparse.csr_array(scipy.sparse.load_npz(stream))
    terms = _terms(paths["vocabulary"])
    if weights.shape != (len(about), len(terms)):
        raise ValueError(
            f"features of shape {weights.shape} for {len(about)} studies and"
            f" {len(terms)} terms. Give files of one version and vocabulary."
        )
    study = pd.Index(about["id"]).get_indexer(table["id"])
    table, study = table[study >= 0], study[study >= 0]
    peaks = table[list("xyz")].to_numpy(float)
    is_talairach = (about["space"] == "TAL").to_numpy()[study]
    back = np.linalg.inv(TO_TALAIRACH)
    peaks[is_talairach] = peaks[is_talairach] @ back[:3, :3].T + back[:3, 3]
    return Studies(peaks, study, weights, terms)


def association(mask: np.ndarray, studies: Studies) -> np.ndarray:
    """Return the correlation of each term with activity in a mask.

    Parameters
    ----------
    mask : bool array of shape (X, Y, Z)
        On the 2 mm grid of ``regions``.
    studies : Studies

    Returns
    -------
    r : float array of shape (F,)
        Over all studies; NaN for a term of constant weight.
    """
    share = _shares(mask, studies)
    x = share - share.mean()
    weights = studies.weights
    mean = np.asarray(weights.mean(axis=0)).ravel()
    square = np.asarray(weights.multiply(weights).mean(axis=0)).ravel()
    spread = square - mean**2
    varies = spread > 1e-12 * square
    norm = np.linalg.norm(x) * np.sqrt(len(x) * spread.clip(0))
    none = np.full(len(norm), np.nan)
    return np.divide(weights.T @ x, norm, out=none, where=varies & (norm > 0))


def _shares(mask: np.ndarray, studies: Studies) -> np.ndarray:
    """Return of each study the share of the voxels near its peaks: (S,)."""
    step = GRID[0, 0]
    tree = cKDTree(step * np.argwhere(mask))
    moved = np.rint((studies.peaks - GRID[:3, 3]) / step) * step  # to a voxel
    near = np.flatnonzero(tree.query(moved, distance_upper_bound=REACH_MM + 1)[0] < 1e9)
    counts = np.zeros(studies.weights.shape[0])
    for start in np.split(near, np.flatnonzero(np.diff(studies.study[near])) + 1):
        hit = tree.query_ball_point(moved[start], REACH_MM + 1e-6)
        counts[studies.study[start[:1]]] += len(set().union(*hit))
    return counts / max(int(mask.sum()), 1)


def _correlations(
    masks: Mapping[int, np.ndarray], paths: Mapping[str, Path]
) -> tuple[dict[int, pd.Series], str]:
    """Return the correlations of each mask, and who computed them."""
    reason = "is not installed"
    if find_spec("nimare") is not None:
        try:
            return _with_nimare(masks, paths), "NiMARE"
        except Exception as error:  # whatever it raises, ours is left
            words = " ".join(str(error).split())[:200]
            reason = f"is installed and failed ({type(error).__name__}: {words})"
    return _without(masks, paths), f"bidsclf, as NiMARE does, which {reason}"


def _without(
    masks: Mapping[int, np.ndarray], paths: Mapping[str, Path]
) -> dict[int, pd.Series]:
    studies = read_studies(paths)
    return {
        number: pd.Series(association(mask, studies), studies.terms)
        for number, mask in masks.items()
    }


def _with_nimare(
    masks: Mapping[int, np.ndarray], paths: Mapping[str, Path]
) -> dict[int, pd.Series]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what NiMARE will change
        from nimare.decode.discrete import ROIAssociationDecoder
        from nimare.io import convert_neurosynth_to_dataset

        annotation = {k: str(paths[k]) for k in ("features", "vocabulary")}
        studies = convert_neurosynth_to_dataset(
            str(paths["coordinates"]), str(paths["metadata"]), annotation
        )
        found = {}
        for number, mask in masks.items():
            image: Any = nibabel.Nifti1Image(mask.astype(np.uint8), GRID)
            decoder = ROIAssociationDecoder(image)
            decoder.fit(studies)  # which returns nothing for such studies
            r = decoder.transform()["r"]
            names = [_readable(str(name).rpartition("__")[2]) for name in r.index]
            found[number] = pd.Series(r.to_numpy(float), names)
    return found


def _paths(folder: Path) -> dict[str, Path]:
    """Return the one file of each kind."""
    found = {}
    for kind, pattern in FILES.items():
        files = sorted(folder.glob(pattern))
        if len(files) != 1:
            raise ValueError(
                f"{len(files)} files are named {pattern}; one was expected, as"
                " Neurosynth names them, of one vocabulary. Mend the folder."
            )
        found[kind] = files[0]
    return found


def _table(model: str, community: int, r: pd.Series) -> pd.DataFrame:
    ordered = r.dropna().sort_values(ascending=False, kind="stable")
    rank = np.arange(1, len(ordered) + 1)
    values = (model, community, ordered.index, ordered.to_numpy(), rank)
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def _terms(path: Path) -> tuple[str, ...]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(_readable(line.strip()) for line in lines if line.strip())


def _readable(term: str) -> str:
    """Return a topic without its number and underscores.

    Examples
    --------
    >>> _readable("26_emotional_amygdala_negative")
    'emotional amygdala negative'
    """
    return re.sub(r"^\d+_", "", term).replace("_", " ")
