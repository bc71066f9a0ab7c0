"""The files at the root of a derivative dataset, for many jobs at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf import __version__
from bidsclf.dataset import OURS, why_not_ours
from bidsclf.errors import ConfigError
from bidsclf.files import paths, store
from bidsclf.files.roster import write_roster

BIDS_VERSION = "1.11.1"
IGNORED = (  # no trailing slash: the validator's patterns for folders have none
    "*.html",
    "*/figures",
    "figures",
    "maps",
    "maps.*",
    "latent",
    "latents.*",
    "rsa.*",
    "silhouette.*",
    "mixture.*",
    "plane.*",
    "learning.*",
    "attributions.*",
    "attribution_time.*",
    "patterns.*",
    "communities.*",
    "influence.*",
    "robustness.*",
    "regions.*",
    "overlap.*",
    "decoding.*",
    "source.*",
    "embedding.*",
    "*_timeseries.*",
    "*_relmat.*",
    "*_coverage.*",
    "*_quality.*",
    "*_motion.*",
    "models",
    "cohort.*",
    "folds.*",
    "predictions.*",
    "metrics.*",
    "comparisons.*",
    "traits.*",
    "permutations.*",
    "nulls.*",
    "calibration.*",
    "experiment.*",
    "roc.*",
    "confounds.*",
    "sites.*",
    "site_map.*",
    "qcfc.*",
    "methods.*",
    "model_card.*",
    "analysis.*",
)
README = """# {name}

Written by bidsclf. One folder a participant; each table has a JSON file beside it
that says what it holds and how it was made.

- `*_timeseries.tsv`: cleaned signals, volumes x regions
- `*_relmat.tsv`: connectivity, regions x regions; the measure stands in `stat-`
- `*_coverage.tsv`: share of each region inside the brain mask
- `*_bold.nii.gz`: cleaned volumes on a small grid, `grid34` in `desc-` for 34 cells
  along each axis; 0 outside the brain
- `*_label-GM_*_probseg.nii.gz`: grey-matter maps on a small cube, `iso64` in `desc-`
  for 64 cells along each axis
- `*_quality.tsv`, `*_motion.tsv`: quality of the run, and motion volume by volume
- `atlas-*_description.json`: the atlases; `descriptions.tsv`: the meaning of `desc-`

`n/a` marks a region that the image does not cover. This is not a medical device.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AtlasOutput:
    """What one atlas gave of one scan.

    Attributes
    ----------
    atlas, seg, scale : str, str or None
        Entity values of the atlas.
    regions : tuple of str, length R
        Names that head the columns.
    series : float array of shape (n_volumes, R) or None
        Cleaned signals; a region without signal is a column of NaN.
    matrices : dict
        Name of the measure to a float array of shape (R, R).
    coverage, n_voxels : array of shape (R,) or None
        Share of each region inside the mask, in [0, 1], and its voxels.
    digest : str or None
        SHA-256 of the atlas.
    meta : dict
        Fields of ``atlas-X_description.json``.
    """

    atlas: str
    regions: tuple[str, ...]
    series: np.ndarray | None = None
    matrices: Mapping[str, np.ndarray] = field(default_factory=dict)
    coverage: np.ndarray | None = None
    n_voxels: np.ndarray | None = None
    seg: str | None = None
    scale: str | None = None
    digest: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """What stands at the root of a derivative dataset.

    Attributes
    ----------
    name : str
        Name of the dataset.
    links : dict
        Name to place of each dataset that a ``bids:name:path`` URI points into.
    participants : DataFrame or None
        The whole table of people, with ``participant_id``.
    columns : dict
        Column to its description: ``participants.json``.
    atlases : tuple of AtlasOutput
        Only the names and ``meta`` are read.
    descriptions : dict
        ``desc-`` label to one sentence.
    generated_by : tuple of dict
        The pipelines before this one.
    """

    name: str = "bidsclf features"
    links: Mapping[str, str] = field(default_factory=dict)
    participants: pd.DataFrame | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    atlases: tuple[AtlasOutput, ...] = ()
    descriptions: Mapping[str, str] = field(default_factory=dict)
    generated_by: tuple[Mapping[str, Any], ...] = ()


def write_roots(out: Path, roots: Roots) -> list[Path]:
    """Write the files at the root of a dataset, and keep what others wrote there.

    Many jobs may do so at the same moment: each file is renamed into place, and
    every job writes the same bytes. What another run or the user left there of
    people, descriptions and links stays.

    Parameters
    ----------
    out : Path
        Root of the dataset; it is made.
    roots : Roots

    Returns
    -------
    list of Path
        The files, whether they changed or not.

    Raises
    ------
    ConfigError
        The folder is a dataset that bidsclf did not write; nothing is written.
    InputError
        The table of people has no ``participant_id``, or the disk refuses.
    """
    if problem := why_not_ours(out):
        raise ConfigError(problem)
    written = [
        _write_description(out, roots),
        store.keep_text(out / ".bidsignore", "\n".join(IGNORED) + "\n"),
        store.keep_text(out / "README.md", README.format(name=roots.name)),
    ]
    for atlas in roots.atlases:
        written += _write_atlas(out, atlas)
    if roots.descriptions:
        written.append(_write_descriptions(out, roots.descriptions))
    if roots.participants is not None:
        written += write_roster(out, roots.participants, roots.columns)
    return written


def _shared(
    out: Path,
    kind: str,
    parts: Mapping[str, Any],
    write: Callable[[dict[str, Any]], Path],
) -> Path:
    """Write a file that several runs add to, until no other job adds a part.

    Each part is a note of its own, so that two jobs that read and write at the
    same moment lose nothing.
    """
    folder = out / ".bidsclf" / kind
    for name, part in parts.items():
        note = {"name": name, "part": part}
        store.keep_json(folder / f"{paths.label(name)}.json", note)
    while True:
        names = sorted(folder.glob("[!.]*.json"))
        notes = [store.read_json(name) for name in names]
        path = write({note["name"]: note["part"] for note in notes})
        if sorted(folder.glob("[!.]*.json")) == names:
            return path


def _write_description(out: Path, roots: Roots) -> Path:
    """Write dataset_description.json, with what other runs said of their inputs."""
    parts: dict[str, Any] = {f"link {k}": v for k, v in roots.links.items()}
    for pipeline in roots.generated_by:
        named = f"pipeline {pipeline.get('Name')} {pipeline.get('Version', '')}"
        parts[named] = dict(pipeline)

    def write(known: dict[str, Any]) -> Path:
        def those(kind: str) -> dict[str, Any]:
            return {
                k.partition(" ")[2]: v for k, v in known.items() if k.startswith(kind)
            }

        links, own = those("link"), {"Name": OURS, "Version": __version__}
        fields = {
            "Name": roots.name,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [own, *those("pipeline").values()],
        }
        links = {"DatasetLinks": links} if links else {}
        return store.keep_json(out / "dataset_description.json", fields | links)

    return _shared(out, "description", parts, write)


def _write_atlas(out: Path, atlas: AtlasOutput) -> list[Path]:
    """Write what an atlas is, and the table of its regions in column order."""
    label = paths.label(atlas.atlas)
    parts = {"atlas": label, "seg": atlas.seg, "scale": atlas.scale}
    stem = "_".join(f"{k}-{paths.label(v)}" for k, v in parts.items() if v)
    table = pd.DataFrame(
        {"index": range(1, len(atlas.regions) + 1), "name": list(atlas.regions)}
    )
    meta = {"Name": label} | dict(atlas.meta)
    return [
        store.keep_json(out / f"atlas-{label}_description.json", meta),
        store.keep_text(out / f"{stem}_dseg.tsv", store.to_tsv(table)),
    ]


def _write_descriptions(out: Path, descriptions: Mapping[str, str]) -> Path:
    """Write what each ``desc-`` label means."""
    parts = {f"desc-{paths.label(k)}": v for k, v in descriptions.items()}

    def write(known: dict[str, Any]) -> Path:
        table = pd.DataFrame({"desc_id": known.keys(), "description": known.values()})
        return store.keep_text(out / "descriptions.tsv", store.to_tsv(table))

    return _shared(out, "descriptions", parts, write)
