"""A simulated study on disk: raw BIDS, and derivatives in fMRIPrep's layout."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf import __version__
from bidsclf.files import paths, store
from bidsclf.sources import _spheres, _study
from bidsclf.sources._anatomy import Anatomy
from bidsclf.sources._confounds import confounds
from bidsclf.sources._graymatter import GreyMatter
from bidsclf.sources._images import digitize, write_image
from bidsclf.sources._settings import StudyConfig
from bidsclf.sources._volumes import Run
from bidsclf.sources._wave import COHERENCE_S, PERIOD_S, SHARE

BIDS_VERSION = "1.10.0"
SPACE = "MNI152NLin2009cAsym"
TASK = {"TaskName": "rest"}
TRUTH = Path("code", "truth.json")
FMRIPREP = Path("derivatives", "fmriprep")
IGNORED = ("*_timeseries.tsv", "*_timeseries.json", "sub-*.html", "figures", "logs")
COARSER = 2  # the raw grid's voxels, in those of the standard grid
README = """# A simulated study

Made by `bidsclf-data simulate`. No person was scanned. The truth that an
analysis should find is in `code/truth.json`: the settings, what differs between
the sites, and the edges on which the diagnosis acts (`code/truth_edges.tsv`), or
the wave or the spheres.
`derivatives/fmriprep` has fMRIPrep's layout and names, on the grid of nilearn's
copy of the MNI152 template.
"""
COLUMNS = {
    "diagnosis": {
        "Description": "Simulated diagnosis.",
        "Levels": {"patient": "Carries the planted effect.", "control": "Does not."},
    },
    "site": {"Description": "Simulated scanner."},
    "age": {"Description": "Age at the scan.", "Units": "year"},
    "sex": {
        "Description": "Sex.",
        "Levels": {"female": "Female.", "male": "Male."},
    },
}


def truth(config: StudyConfig) -> dict[str, Any]:
    """Return what was simulated: settings, sites, edges."""
    planted = {"dynamic": ("wave", _truth_wave), "volume": ("spheres", _truth_spheres)}
    more = [planted[config.effect_kind]] if config.effect_kind in planted else []
    return {
        "settings": config.to_dict(),
        "sites": [
            {name: getattr(site, name) for name in site.__slots__}
            for site in _study.sites(config)
        ],
        "edges": _truth_edges(config).to_dict("records"),
        **{name: describe(config) for name, describe in more},
    }


def _truth_wave(config: StudyConfig) -> dict[str, Any]:
    """Return the wave: when it reaches each system, and which way it goes."""
    order = _study.networks()
    return {
        "period_s": PERIOD_S,
        "coherence_s": COHERENCE_S,
        "share": SHARE,
        "direction": {
            label: _study.wave_direction(config, is_patient=label == "patient")
            for label in ("control", "patient")
        },
        "arrives_s": {
            name: PERIOD_S * place / len(order) for place, name in enumerate(order)
        },
    }


def _truth_spheres(config: StudyConfig) -> dict[str, Any]:
    """Return the spheres: where they are, and what patients have there."""
    strength = config.effect
    return {
        "centres_mm": [list(centre) for centre in _spheres.CENTRES_MM],
        "radius_mm": _spheres.RADIUS_MM,
        "without": "regions of the AAL atlas; confounds are taken without the spheres",
        "patients": {
            "raised_mean_share": strength * _spheres.RAISE,
            "wave_amplitude_share": strength * _spheres.WAVE,
            "period_s": _spheres.PERIOD_S,
            "coherence_s": _spheres.COHERENCE_S,
            "lag_of_the_second_s": _spheres.LAG_S,
        },
    }


def _truth_edges(config: StudyConfig) -> pd.DataFrame:
    """Return the edges that differ in patients: none without an effect."""
    words = {-1: "weaker", 1: "stronger"}
    has_edges = config.effect and config.effect_kind == "static"
    edges = _study.edges() if has_edges else ()
    rows = [(edge.a, edge.b, words[edge.sign]) for edge in edges]
    return pd.DataFrame(rows, columns=["region_a", "region_b", "patients"])


def write_study(out: Path, config: StudyConfig) -> None:
    """Write the root files of both datasets.

    The truth comes first: it tells a study that was interrupted from a folder
    that is not ours.
    """
    store.write_json(out / TRUTH, truth(config))
    write_roots(out, config, README)
    store.write_table(out / "participants.tsv", _study.people(config))
    store.write_json(out / "participants.json", COLUMNS)
    store.write_table(out / "code" / "truth_edges.tsv", _truth_edges(config))


def write_roots(out: Path, config: StudyConfig, readme: str) -> None:
    """Write what describes each of the two datasets."""
    name = f"Simulated study, seed {config.seed}"  # another seed, other people
    if config.effect_kind != "static":
        name += f", {config.effect_kind} effect"
    made_by = {"Name": "bidsclf-data simulate", "Version": __version__}
    raw = {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "raw",
        "License": "CC0",
        "Authors": ["bidsclf"],
        "GeneratedBy": [made_by],
    }
    derived = {
        "Name": f"{name}, in the layout of fMRIPrep",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": "CC0",
        "GeneratedBy": [made_by],
        "SourceDatasets": [{"URL": "../.."}],
        "DatasetLinks": {"raw": "../.."},
    }
    for root, description in ((out, raw), (out / FMRIPREP, derived)):
        store.write_json(root / "dataset_description.json", description)
        store.write_text(root / "README.md", readme)
    store.write_text(out / FMRIPREP / ".bidsignore", "\n".join(IGNORED) + "\n")


def run_entities(config: StudyConfig, participant: str) -> list[dict[str, str]]:
    """Return the entities of a person's runs, in the order of the sessions."""
    several = config.n_runs > 1
    return [
        {"sub": participant.removeprefix("sub-")}
        | ({"ses": str(session)} if config.n_sessions > 1 else {})
        | {"task": "rest"}
        | ({"run": str(run)} if several else {})
        for session in range(1, config.n_sessions + 1)
        for run in range(1, config.n_runs + 1)
    ]


def last_file(out: Path, entities: dict[str, str]) -> Path:
    """Return the file that is written last for a run: it marks it complete."""
    return _derived(out, entities, {"desc": "confounds"}, "timeseries", ".tsv")


def _derived(
    out: Path, entities: dict[str, str], more: dict[str, str], *ending: str
) -> Path:
    return Path(out / FMRIPREP / paths.build(entities | more, *ending))


def write_anatomical(
    out: Path, entities: dict[str, str], anatomy: Anatomy | GreyMatter
) -> None:
    """Write a small T1-weighted image, once a session."""
    person = {key: v for key, v in entities.items() if key in ("sub", "ses")}
    path = Path(out / paths.build(person, "T1w", ".nii.gz", datatype="anat"))
    counts = digitize(1000 * anatomy.template)
    write_image(path, counts.transpose(2, 1, 0), anatomy.affine)
    sidecar = {"Modality": "MR", "MagneticFieldStrength": 3}
    store.write_json(path.with_name(path.name.replace(".nii.gz", ".json")), sidecar)


def write_run(out: Path, entities: dict[str, str], run: Run, anatomy: Anatomy) -> None:
    """Write a run: raw image, preprocessed image, mask and confounds."""
    counts = _on_grid(run.volumes, anatomy)
    timing = {"RepetitionTime": run.tr_s}
    raw = paths.build(entities, "bold", ".nii.gz")
    thin = slice(None, None, COARSER)
    affine = anatomy.affine @ np.diag([COARSER, COARSER, COARSER, 1])
    write_image(out / raw, counts[:, thin, thin, thin], affine, tr_s=run.tr_s)
    store.write_json(out / paths.build(entities, "bold", ".json"), TASK | timing)

    space = {"space": SPACE}
    preproc = space | {"desc": "preproc"}
    image = _derived(out, entities, preproc, "bold", ".nii.gz")
    write_image(image, counts, anatomy.affine, tr_s=run.tr_s)
    sources = {"Sources": [f"bids:raw:{raw}"]}
    sidecar = TASK | timing | {"SkullStripped": True} | sources
    store.write_json(_derived(out, entities, preproc, "bold", ".json"), sidecar)

    mask = space | {"desc": "brain"}
    inside = anatomy.mask.astype(np.int16).transpose(2, 1, 0)
    write_image(
        _derived(out, entities, mask, "mask", ".nii.gz"), inside, anatomy.affine
    )
    kind = {"Type": "Brain"} | sources
    store.write_json(_derived(out, entities, mask, "mask", ".json"), kind)

    table, meta = confounds(run, anatomy)
    name = {"desc": "confounds"}
    store.write_json(_derived(out, entities, name, "timeseries", ".json"), meta)
    store.write_table(last_file(out, entities), table)


def _on_grid(volumes: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Return (n_volumes, Z, Y, X) counts; 0 outside the brain."""
    shape = anatomy.mask.shape
    flat = np.ravel_multi_index(np.nonzero(anatomy.mask), shape, order="F")
    grid = np.zeros((len(volumes), anatomy.mask.size), np.int16)
    grid[:, flat] = digitize(volumes)
    return grid.reshape(len(volumes), *shape[::-1])
