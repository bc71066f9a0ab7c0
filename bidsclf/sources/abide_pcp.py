"""ABIDE as the Preprocessed Connectomes Project publishes it, brought to seam 1."""

import argparse
import os
from pathlib import Path

HELP = "the Preprocessed Connectomes Project's ABIDE, regional signals and labels"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the source's arguments."""
    parser.add_argument(
        "folder", type=Path, metavar="IN", help="folder that holds Outputs or ABIDE_pcp"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="derivative dataset")
    parser.add_argument("--pipeline", help="cpac, dparsf, ccs or niak")
    parser.add_argument("--strategy", help="filt_global, nofilt_noglobal, …")
    parser.add_argument("--atlas", help="cc200, ho, aal, …")
    parser.add_argument(
        "--phenotypic", type=Path, help="the table (default: Phenotypic*.csv in IN)"
    )
    parser.add_argument(
        "--nprocs",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="people read at once (default: every core)",
    )


def run(namespace: argparse.Namespace) -> int:
    """Convert the files; return 0, or 4 when some could not be read.

    Raises
    ------
    ConfigError
        The options do not fit what is there.
    InputError
        The table is unusable, nothing matches, or OUT cannot be written.
    """
    from bidsclf.sources._abide import convert  # heavy: not for --help

    return convert(namespace)
