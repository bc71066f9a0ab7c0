"""ADHD-200 as published for learning, brought to seam 1: time courses or arrays."""

import argparse
import os
from pathlib import Path

HELP = "ADHD-200: the Athena pipeline's time courses, or arrays of series"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the source's arguments."""
    parser.add_argument(
        "folder",
        type=Path,
        metavar="IN",
        help="folder of *_TCs.1D files below sites, or of *_roi_timeseries.npy files",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="derivative dataset")
    parser.add_argument("--atlas", help="of the time courses: aal, cc200, ho, …")
    parser.add_argument(
        "--strategy",
        choices=("filt", "nofilt"),
        default="filt",
        help="of the time courses: band-pass filtered, or not (default filt)",
    )
    parser.add_argument(
        "--phenotypic",
        type=Path,
        nargs="+",
        help="tables of people (default: *phenotypic*.csv and .tsv in IN)",
    )
    parser.add_argument(
        "--drop-failed-qc",
        action="store_true",
        help="leave out runs whose QC_Rest column is 0",
    )
    parser.add_argument(
        "--nprocs",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="runs read at once (default: every core)",
    )


def run(namespace: argparse.Namespace) -> int:
    """Convert the files; return 0, or 4 when some could not be read.

    Raises
    ------
    ConfigError
        The options do not fit what is there.
    InputError
        A table is unusable, nothing matches, or OUT cannot be written.
    """
    from bidsclf.sources._adhd import convert  # heavy: not for --help

    return convert(namespace)
