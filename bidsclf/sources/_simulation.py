"""Simulate a study person by person, each from their own random streams."""

import logging
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from bidsclf.errors import ConfigError, InputError
from bidsclf.files import status, store
from bidsclf.sources import _graymatter, _layout, _maps, _study
from bidsclf.sources._anatomy import Anatomy, load_anatomy
from bidsclf.sources._settings import GRAYMATTER, StudyConfig
from bidsclf.sources._signals import draw_traits
from bidsclf.sources._spheres import spared
from bidsclf.sources._volumes import simulate_run
from bidsclf.sources._workers import each

LOG = logging.getLogger("bidsclf")
PROGRESS = 10  # people between two lines of the log


def simulate(out: Path, config: StudyConfig, *, nprocs: int) -> None:
    """Simulate a study; one that was interrupted goes on.

    Raises
    ------
    ConfigError
        OUT holds something else.
    InputError
        OUT cannot be written, or a worker died.
    """
    _check_free(out, config)
    people = range(config.n_subjects)
    is_maps = config.effect_kind == GRAYMATTER
    study, person = (_maps, simulate_map) if is_maps else (_layout, simulate_person)
    try:
        status.remove_partials(out)
        study.write_study(out, config)
        made = each(partial(person, out, config), people, nprocs=nprocs)
        for number, _ in enumerate(made, start=1):
            if number % PROGRESS == 0 or number == len(people):
                LOG.info("%d of %d people", number, len(people))
    except OSError as error:
        raise InputError(
            f"{out} cannot be written: {error}."
            " Free the disk or choose another folder, then run again: it goes on."
        ) from error


def _check_free(out: Path, config: StudyConfig) -> None:
    """Refuse a folder that holds anything but this very study."""
    marker = out / _layout.TRUTH
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; OUT is a folder to make.")
    if marker.exists():
        found = store.read_json(marker).get("settings", {})
        wanted = config.to_dict()
        names = {**wanted, **found}
        other = [f"{k} {found.get(k)}" for k in names if found.get(k) != wanted.get(k)]
        if other:
            raise ConfigError(
                f"{out} holds a study of other settings ({', '.join(other)})."
                " Choose another folder, or remove this one."
            )
    elif out.is_dir() and any(out.iterdir()):
        raise ConfigError(
            f"{out} is not empty and holds no simulated study."
            " Choose a new or an empty folder."
        )


@cache
def _anatomy(resolution_mm: int, seed: int) -> Anatomy:
    return load_anatomy(resolution_mm, seed=seed)


def simulate_person(out: Path, config: StudyConfig, number: int) -> None:
    """Write all files of one person, from that person's own random streams.

    Parameters
    ----------
    out : Path
    config : StudyConfig
    number : int
        Row of ``people(config)``.
    """
    person = _study.people(config).iloc[number]
    site = {site.name: site for site in _study.sites(config)}[person["site"]]
    runs = _layout.run_entities(config, person["participant_id"])
    if all(_layout.last_file(out, entities).exists() for entities in runs):
        return
    anatomy, edges = _anatomy(config.resolution_mm, config.seed), _study.edges()
    is_patient = person["diagnosis"] == "patient"
    rng = np.random.default_rng([config.seed, 3, number])
    shift = _study.edge_shift(config, is_patient=is_patient)
    traits = draw_traits(edges, len(anatomy.regions), shift=shift, rng=rng)
    direction = _study.wave_direction(config, is_patient=is_patient)
    strength = _study.sphere_strength(config, is_patient=is_patient)
    traits = replace(traits, wave=direction, spheres=strength)
    with threadpool_limits(1):  # the same bytes, however many processes
        for count, entities in enumerate(runs):
            rng = np.random.default_rng([config.seed, 5, number, count])
            _layout.write_anatomical(out, entities, anatomy)
            scan = simulate_run(anatomy, edges, traits, site, rng)
            tissues = anatomy if strength is None else spared(anatomy)
            _layout.write_run(out, entities, scan, tissues)


def simulate_map(out: Path, config: StudyConfig, number: int) -> None:
    """Write all files of one person of a study of grey-matter maps."""
    person = _graymatter.people(config).iloc[number]
    participant = person["participant_id"]
    if _maps.map_file(out, participant).exists():
        return
    brain = _graymatter.load_greymatter(config.resolution_mm)
    pattern = _graymatter.pattern_of(person, config)
    rng = np.random.default_rng([config.seed, 8, number])
    with threadpool_limits(1):  # the same bytes, however many processes
        volume = _graymatter.draw_map(brain, pattern, rng)
        _maps.write_map(out, participant, volume, brain)
