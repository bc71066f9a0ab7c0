"""What a simulated study is: its sites, people and planted edges."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.sources._settings import StudyConfig

N_FIELDS = 40  # smooth spatial patterns of the noise
TR_RANGE_S = (0.8, 3.5)
MIN_SECONDS = 130.0  # above the default --min-time after the first volumes


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A scanner.

    Attributes
    ----------
    name : str
    tr_s : float
        Repetition time in seconds.
    n_volumes : int
    gain, offset : float
        Intensity is ``gain * signal + offset``; the offset in the units of the
        image, whose grey matter lies near 1000.
    noise : float
        Factor on the thermal noise.
    texture : tuple of float
        Factors on the smooth patterns of the noise: what makes a scanner
        recognizable in connectivity.
    """

    name: str
    tr_s: float
    n_volumes: int
    gain: float
    offset: float
    noise: float
    texture: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A planted edge: two region names, and the sign in patients (-1 or 1)."""

    a: str
    b: str
    sign: int


def sites(config: StudyConfig) -> tuple[Site, ...]:
    """Return the scanners of a study, the same for the same seed."""
    rng = np.random.default_rng([config.seed, 1])
    return tuple(
        _site(number, config, rng.uniform(-1, 1, 5 + N_FIELDS))
        for number in range(1, config.n_sites + 1)
    )


def _site(number: int, config: StudyConfig, draw: np.ndarray) -> Site:
    spread = config.site_effect * draw
    tr_s = round(float(np.clip(2 + 0.5 * spread[0], *TR_RANGE_S)), 2)
    wanted = round(config.n_volumes * float(np.exp(0.12 * spread[1])))
    return Site(
        name=f"site{number:02d}",
        tr_s=tr_s,
        n_volumes=max(wanted, int(np.ceil(MIN_SECONDS / tr_s)) + 2),
        gain=float(np.exp(0.3 * spread[2])),
        offset=float(60 * abs(spread[3])),
        noise=float(np.exp(0.3 * spread[4])),
        texture=tuple(np.exp(0.5 * spread[5:]).round(3).tolist()),
    )


def people(config: StudyConfig) -> pd.DataFrame:
    """Return the participants.

    Diagnosis alternates within each site, and age and sex are drawn without a
    look at it: neither they, nor the site, nor motion tells it.

    Returns
    -------
    people : DataFrame
        participant_id, diagnosis, site, age (years), sex.
    """
    rng = np.random.default_rng([config.seed, 2])
    n_people = config.n_subjects
    width = max(3, len(str(n_people)))
    places = np.arange(n_people) % config.n_sites
    turns = np.arange(n_people) // config.n_sites
    return pd.DataFrame(
        {
            "participant_id": [f"sub-{n:0{width}d}" for n in range(1, n_people + 1)],
            "diagnosis": np.where((turns + places) % 2, "patient", "control"),
            "site": [f"site{place + 1:02d}" for place in places],
            "age": rng.uniform(18, 45, n_people).round(1),
            "sex": rng.choice(["female", "male"], n_people),
        }
    )


def network_of(region: str) -> str:
    """Return the functional system of an AAL region.

    Examples
    --------
    >>> network_of("Precuneus_L"), network_of("Vermis_10")
    ('default', 'cerebellum')
    """
    for network, patterns in _networks()["networks"].items():
        if region.startswith(tuple(patterns)):
            return network
    return "none"


def networks() -> tuple[str, ...]:
    """Return the names of the functional systems, in their order."""
    return tuple(_networks()["networks"])


def edges() -> tuple[Edge, ...]:
    """Return the planted edges: each named pair, left and right."""
    signs = {"weaker": -1, "stronger": 1}
    return tuple(
        Edge(
            a=f"{pair['a']}_{side}",
            b=f"{pair['b']}_{side}",
            sign=signs[pair["patients"]],
        )
        for pair in _networks()["edges"]
        for side in ("L", "R")
    )


def edge_shift(config: StudyConfig, *, is_patient: bool) -> float:
    """Return how far a person's planted couplings are moved; 0 if not static."""
    if config.effect_kind != "static":
        return 0.0
    return config.effect * (1 if is_patient else -1)


def wave_direction(config: StudyConfig, *, is_patient: bool) -> float | None:
    """Return the direction of a person's wave; None if the study is not dynamic.

    Examples
    --------
    >>> wave_direction(StudyConfig(effect_kind="dynamic"), is_patient=True)
    -1.0
    """
    if config.effect_kind != "dynamic":
        return None
    return min(config.effect, 1.0) * (-1 if is_patient else 1)


def sphere_strength(config: StudyConfig, *, is_patient: bool) -> float | None:
    """Return how strong the spheres of a person are; None if not of kind volume.

    Examples
    --------
    >>> sphere_strength(StudyConfig(effect_kind="volume"), is_patient=True)
    1.0
    """
    if config.effect_kind != "volume":
        return None
    return config.effect * float(is_patient)


@cache
def _networks() -> Any:
    path = files("bidsclf") / "data" / "simulation" / "networks.json"
    return json.loads(path.read_text(encoding="utf-8"))
