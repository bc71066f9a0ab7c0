"""A simulated study of grey-matter maps on disk: its truth, its people, its maps."""

from pathlib import Path
from typing import Any

import numpy as np

from bidsclf.files import paths, store
from bidsclf.sources import _graymatter, _layout, _study
from bidsclf.sources._graymatter import GreyMatter
from bidsclf.sources._images import digitize, write_image
from bidsclf.sources._settings import StudyConfig

STEP = 2.0**-13  # of a probability on disk: a power of 2, so that 1 is 1
README = """# A simulated study of grey matter

Made by `bidsclf-data simulate`. No person was scanned. The truth that an
analysis should find is in `code/truth.json`: the settings, the places of the
patterns, and by how much age, sex, IQ and site move everyone's map there, and
severity and kind the maps of patients. What each person has is in
`code/truth_people.tsv`.
`derivatives/fmriprep` has fMRIPrep's layout and names, on the grid of nilearn's
copy of the MNI152 template. There are no functional images.
"""
COLUMNS = _layout.COLUMNS | {
    "iq": {"Description": "Full-scale IQ: mean 100, standard deviation 15."},
    "severity": {"Description": "Severity of symptoms of patients."},
}


def truth(config: StudyConfig) -> dict[str, Any]:
    """Return what was simulated: settings, places, and what acts there."""
    names, graymatter = list(_graymatter.PLACES_MM), _graymatter
    units = {
        name: {"zero": zero, "unit": unit}
        for name, (zero, unit) in graymatter.UNITS.items()
    } | {"sex": {"zero": "between the two", "unit": "male less female"}}
    patients: dict[str, Any] = {"severity": _scaled(graymatter.SEVERITY, config)}
    if config.n_subtypes > 1:
        patients["subtypes"] = {
            str(kind): _scaled(pattern, config)
            for kind, pattern in enumerate(graymatter.KINDS[: config.n_subtypes], 1)
        }
    sites = zip(_study.sites(config), graymatter.site_patterns(config), strict=True)
    return {
        "settings": config.to_dict(),
        "map": "share * template * exp(sum over places of log factor * bump + noise)",
        "template": "nilearn.datasets.load_mni152_gm_template",
        "share": graymatter.SHARE,
        "places_mm": {k: list(v) for k, v in graymatter.PLACES_MM.items()},
        "bumps": {"fwhm_mm": graymatter.FWHM_MM, "sides": "left and right"},
        "units": units,
        "log_factors": {
            "everyone": graymatter.SHARED,
            "patients": patients,
            "sites": {
                site.name: dict(zip(names, row.round(4).tolist(), strict=True))
                for site, row in sites
            },
        },
        "own_sd_of_log": {
            "each_place": graymatter.PERSON,
            "places": list(graymatter.EVERYONE),
            "everywhere": graymatter.WHOLE,
            "noise": graymatter.NOISE,
            "noise_fwhm_mm": graymatter.NOISE_FWHM_MM,
        },
    }


def _scaled(pattern: dict[str, float], config: StudyConfig) -> dict[str, float]:
    return {place: round(config.effect * one, 6) for place, one in pattern.items()}


def write_study(out: Path, config: StudyConfig) -> None:
    """Write the root files of both datasets, the truth first."""
    store.write_json(out / _layout.TRUTH, truth(config))
    _layout.write_roots(out, config, README)
    people = _graymatter.people(config)
    store.write_table(out / "participants.tsv", people.drop(columns="subtype"))
    store.write_json(out / "participants.json", COLUMNS)
    store.write_table(out / "code" / "truth_people.tsv", people)


def map_file(out: Path, participant: str) -> Path:
    """Return the file of a person's map, which is written last."""
    entities = {"sub": participant.removeprefix("sub-")}
    entities |= {"space": _layout.SPACE, "label": "GM"}
    name = paths.build(entities, "probseg", ".nii.gz", datatype="anat")
    return Path(out / _layout.FMRIPREP / name)


def write_map(
    out: Path, participant: str, volume: np.ndarray, brain: GreyMatter
) -> None:
    """Write a person's T1-weighted image and map, float32 (X, Y, Z) in [0, 1]."""
    person = {"sub": participant.removeprefix("sub-")}
    _layout.write_anatomical(out, person, brain)
    raw = paths.build(person, "T1w", ".nii.gz", datatype="anat")
    path = map_file(out, participant)
    sidecar = {"Sources": [f"bids:raw:{raw}"]}
    store.write_json(path.with_name(path.name.replace(".nii.gz", ".json")), sidecar)
    counts = digitize(volume, STEP).transpose(2, 1, 0)
    write_image(path, counts, brain.affine, slope=STEP)
