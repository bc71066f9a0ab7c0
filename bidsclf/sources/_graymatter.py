"""Grey-matter maps of people: what all share in, and what patients alone have.

A map is nilearn's grey-matter template times the exponential of smooth patterns, which
are sums of bumps at named places, and of fine noise. Traits that all have move some of
these places, so does the site, and people differ at each of them. Patients alone also
have a pattern that grows with their severity and, where kinds are planted, the pattern
of their kind. These have places of their own, since what varies in everyone is not
patients' own; the bumps are wide, so that they overlap those of age, IQ and site.
Places and strengths are ours.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from nilearn import datasets
from scipy.ndimage import gaussian_filter

from bidsclf.sources import _study
from bidsclf.sources._settings import StudyConfig

PLACES_MM = {  # MNI; each is on both sides
    "frontal": (32.0, 40.0, 24.0),
    "cingulate": (4.0, 34.0, 18.0),
    "striatum": (16.0, 8.0, 2.0),
    "insula": (40.0, 6.0, -4.0),
    "amygdala": (26.0, -4.0, -24.0),
    "temporal": (54.0, -26.0, -8.0),
    "motor": (40.0, -16.0, 52.0),
    "parietal": (42.0, -52.0, 44.0),
    "precuneus": (6.0, -62.0, 40.0),
    "occipital": (16.0, -88.0, 4.0),
    "cerebellum": (26.0, -66.0, -38.0),
    "thalamus": (10.0, -20.0, 8.0),
    "pole": (42.0, 14.0, -34.0),
    "fusiform": (34.0, -42.0, -20.0),
    "supplementary": (6.0, -4.0, 64.0),
}
FWHM_MM = 40.0  # of a bump
SHARE = 0.8  # of the template: most maps then stay below 1 without being cut
SHARED = {  # log of the factor at each place, a unit of the trait
    "age": {"frontal": -0.06, "motor": -0.05, "temporal": -0.04, "insula": -0.04},
    "sex": {"amygdala": 0.06, "cerebellum": 0.06, "occipital": -0.05},
    "iq": {"parietal": 0.09, "precuneus": 0.07, "frontal": 0.05},
}
UNITS = {"age": (31.5, 8.0), "iq": (100.0, 15.0), "severity": (40.0, 10.0)}
SEVERITY = {"striatum": -0.10, "cingulate": -0.10}
PATIENTS = 2.0  # units of mean severity, above where nothing is planted
WITHIN = 0.4  # units of severity, standard deviation within a kind
KINDS = (
    {"thalamus": -0.40},
    {"pole": -0.40},
    {"fusiform": -0.40},
    {"supplementary": -0.40},
)
EVERYONE = tuple(  # places where sites and people differ
    place
    for place in PLACES_MM
    if not any(place in pattern for pattern in (SEVERITY, *KINDS))
)
SITE, PERSON, WHOLE = 0.07, 0.04, 0.04  # standard deviations of such logs
NOISE, NOISE_FWHM_MM = 0.10, 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GreyMatter:
    """The template on a grid, and the places of the patterns.

    Attributes
    ----------
    affine : float array of shape (4, 4)
    template : float32 array of shape (X, Y, Z)
        T1-weighted intensity in [0, 1].
    grey : float32 array of shape (X, Y, Z)
        Probability of grey matter.
    bumps : float32 array of shape (n_places, X, Y, Z)
        1 at a place, falling off around it.
    """

    affine: np.ndarray
    template: np.ndarray
    grey: np.ndarray
    bumps: np.ndarray


@cache
def load_greymatter(resolution_mm: int) -> GreyMatter:
    """Put nilearn's templates and the places on one grid."""
    image = datasets.load_mni152_template(resolution=resolution_mm)
    grey = datasets.load_mni152_gm_template(resolution=resolution_mm)
    where = np.moveaxis(np.indices(image.shape), 0, -1)
    at_mm = where @ image.affine[:3, :3].T + image.affine[:3, 3]
    at_mm[..., 0] = np.abs(at_mm[..., 0])
    sigma_mm = FWHM_MM / np.sqrt(8 * np.log(2))
    bumps = [
        np.exp(-0.5 * ((at_mm - place) ** 2).sum(axis=-1) / sigma_mm**2)
        for place in PLACES_MM.values()
    ]
    return GreyMatter(
        affine=image.affine,
        template=image.get_fdata(dtype=np.float32),
        grey=SHARE * np.clip(grey.get_fdata(dtype=np.float32), 0, 1),
        bumps=np.array(bumps, np.float32),
    )


def people(config: StudyConfig) -> pd.DataFrame:
    """Return the participants, with what moves their maps.

    Severity and kind are unrelated to what all share, in these very people, so that
    what an analysis finds of site or IQ in patients' own part is its own doing:
    severity is taken without its regression on site, age, sex and IQ (where there are
    more than twice as many patients as these have columns), and kinds are dealt among
    patients who are next to each other by site and IQ. Where kinds are planted, each
    is a unit more severe than the one before, and severity varies less within.

    Returns
    -------
    people : DataFrame
        Columns of ``_study.people``, iq, severity (NaN of controls) and subtype
        (1 to ``n_subtypes``, as evenly as can be; NaN of controls).
    """
    rng = np.random.default_rng([config.seed, 6])
    found = _study.people(config)
    is_patient = (found["diagnosis"] == "patient").to_numpy()
    iq, severity = rng.normal(size=(2, len(found)))
    mean, sd = UNITS["iq"]
    found["iq"] = (mean + sd * iq.clip(-3, 3)).round()
    patients = found[is_patient]
    mean, sd = UNITS["severity"]
    kinds, severe = _dealt(patients, config.n_subtypes, rng), severity[is_patient]
    if config.n_subtypes > 1:
        severe = WITHIN * severe + kinds - (config.n_subtypes - 1) / 2
    severe = _apart(severe, patients).clip(-2.5, 2.5)
    told = {
        "severity": (mean + sd * (PATIENTS + severe)).round(1),
        "subtype": kinds + 1.0,
    }
    return found.join(pd.DataFrame(told, index=patients.index))


def _apart(drawn: np.ndarray, people: pd.DataFrame) -> np.ndarray:
    """Return what regression on site, age, sex and IQ leaves, as widely spread."""
    shared = pd.get_dummies(people[["site", "sex", "age", "iq"]], dtype=float)
    design = np.column_stack([np.ones(len(people)), shared - shared.mean()])
    if len(people) <= 2 * design.shape[1]:
        return drawn
    left = drawn - design @ np.linalg.lstsq(design, drawn, rcond=None)[0]
    return np.asarray(left / left.std() * drawn.std())


def _dealt(people: pd.DataFrame, n_kinds: int, rng: np.random.Generator) -> np.ndarray:
    """Return a kind from 0 for each, dealt among neighbours by site and IQ."""
    site = pd.factorize(people["site"], sort=True)[0]
    iq = people["iq"] * np.where(site % 2, -1, 1)  # where sites meet, IQ is alike too
    order = np.lexsort((iq, site))
    rounds = [rng.permutation(n_kinds) for _ in range(-(-len(people) // n_kinds))]
    kinds = np.empty(len(people), int)
    kinds[order] = np.concatenate(rounds)[: len(people)]
    return kinds


def site_patterns(config: StudyConfig) -> np.ndarray:
    """Return the log of each site's factor at each place, (n_sites, n_places)."""
    rng = np.random.default_rng([config.seed, 7])
    drawn = rng.normal(size=(config.n_sites, len(PLACES_MM)))
    is_moved = np.isin(list(PLACES_MM), EVERYONE)
    return np.asarray(config.site_effect * SITE * drawn * is_moved)


def pattern_of(person: pd.Series, config: StudyConfig) -> np.ndarray:
    """Return the log of a person's factor at each place that their traits explain.

    Parameters
    ----------
    person : Series
        A row of ``people``.
    config : StudyConfig

    Returns
    -------
    pattern : float array of shape (n_places,)
    """
    at_site = site_patterns(config)[int(person["site"].removeprefix("site")) - 1]
    pattern = at_site + (0.5 if person["sex"] == "male" else -0.5) * _at(SHARED["sex"])
    for name in ("age", "iq"):
        mean, sd = UNITS[name]
        pattern = pattern + (person[name] - mean) / sd * _at(SHARED[name])
    if person["diagnosis"] != "patient":
        return pattern
    mean, sd = UNITS["severity"]
    planted = (person["severity"] - mean) / sd * _at(SEVERITY)
    if config.n_subtypes > 1:
        planted = planted + _at(KINDS[int(person["subtype"]) - 1])
    return np.asarray(pattern + config.effect * planted)


def _at(strengths: dict[str, float]) -> np.ndarray:
    return np.array([strengths.get(place, 0.0) for place in PLACES_MM])


def draw_map(
    brain: GreyMatter, pattern: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return a person's map.

    Parameters
    ----------
    brain : GreyMatter
    pattern : float array of shape (n_places,)
        What the person's traits explain.
    rng : Generator
        Of what is the person's own.

    Returns
    -------
    volume : float32 array of shape (X, Y, Z)
        Probability of grey matter, in [0, 1].
    """
    is_moved = np.isin(list(PLACES_MM), EVERYONE)
    own = PERSON * rng.normal(size=len(pattern)) * is_moved
    field = np.tensordot(pattern + own, brain.bumps, 1)
    field += WHOLE * rng.normal()
    field += NOISE * _smooth(brain, rng)
    return np.clip(brain.grey * np.exp(field), 0, 1).astype(np.float32)


def _smooth(brain: GreyMatter, rng: np.random.Generator) -> np.ndarray:
    """Return noise of unit variance over the grid."""
    voxel_mm = np.abs(np.diag(brain.affine)[:3])
    sigma = NOISE_FWHM_MM / np.sqrt(8 * np.log(2)) / voxel_mm
    noise = rng.normal(size=brain.grey.shape).astype(np.float32)
    noise = gaussian_filter(noise, sigma, mode="wrap")
    return noise / noise.std()
