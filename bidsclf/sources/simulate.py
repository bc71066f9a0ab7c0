"""A multi-site study with known truth, in raw BIDS and fMRIPrep's layout."""

import argparse
import os
from pathlib import Path

from bidsclf.sources._settings import KINDS, StudyConfig

HELP = "simulate a multi-site study with known truth"
OPTIONS = {
    "effect": "strength of the diagnosis; 0 gives chance",
    "effect_kind": "static: planted edges differ in correlation; dynamic: a wave"
    " travels the other way, and only the order in time differs; volume: two spheres"
    " outside the atlas have another mean, and a wave; edges do not differ;"
    " graymatter: grey-matter maps alone, in which patients have a pattern that grows"
    " with their severity",
    "n_subtypes": "kinds of patients in a study of kind graymatter; 1 is a continuum",
    "site_effect": "strength of what differs between scanners",
    "n_sites": "scanners",
    "n_subjects": "people, all sites together; half of each site are patients",
    "n_volumes": "volumes of a typical run",
    "n_runs": "runs a session",
    "n_sessions": "sessions a person",
    "resolution_mm": "voxel size of the standard grid, in whole mm",
    "seed": "root of every random stream; the same seed gives the same bytes",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the source's arguments."""
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the new study")
    default = StudyConfig()
    for name, text in OPTIONS.items():
        value = getattr(default, name)
        option = "--" + name.replace("_", "-")
        choices = KINDS if name == "effect_kind" else None
        parser.add_argument(
            option,
            type=type(value),
            default=value,
            choices=choices,
            help=f"{text} (default {value})",
        )
    parser.add_argument(
        "--nprocs",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="people simulated at once (default: every core)",
    )


def run(namespace: argparse.Namespace) -> int:
    """Simulate the study and return 0.

    Raises
    ------
    ConfigError
        A setting is out of range, or OUT holds something else.
    InputError
        OUT cannot be written, or a worker died.
    """
    config = StudyConfig(**{name: getattr(namespace, name) for name in OPTIONS})
    from bidsclf.sources._simulation import simulate  # heavy: not for --help

    simulate(namespace.out, config, nprocs=namespace.nprocs)
    return 0
