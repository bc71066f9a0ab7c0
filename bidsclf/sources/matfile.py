"""Images in MATLAB v7.3 files, brought to seam 1 as volumes."""

import argparse
import os
from pathlib import Path

HELP = "MATLAB v7.3 files of images (fMRIdata/orig, /mask, /dx), to volumes"
PATTERN = r"(?P<subject>[^/]+)\.mat$"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the source's arguments."""
    parser.add_argument(
        "folder", type=Path, metavar="IN", help="folder of *.mat files, at any depth"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="derivative dataset")
    parser.add_argument(
        "--labels",
        nargs="+",
        required=True,
        metavar="CODE=NAME",
        help="what each value of dx means, such as 1=autism 2=control",
    )
    parser.add_argument(
        "--pattern",
        default=PATTERN,
        help="regular expression, searched in the path below IN, with the named groups"
        " subject and, if the path says them, site, label, session and run"
        " (default: the file's name is the subject)",
    )
    parser.add_argument(
        "--phenotypic",
        type=Path,
        help="table of people, CSV or TSV: participant_id, and if it says them"
        " diagnosis, site and any others",
    )
    _add_how(parser)


def _add_how(parser: argparse.ArgumentParser) -> None:
    """Add what says how images are written."""
    parser.add_argument(
        "--size",
        type=int,
        help="resize to N x N x N within the mask's box (default: the file's own grid,"
        " which all files must share)",
    )
    parser.add_argument(
        "--standardize",
        choices=("mean", "none"),
        default="mean",
        help="mean: divide a scan by its mean over mask and time (default); none: leave"
        " the values as they are",
    )
    parser.add_argument("--tr", type=float, help="repetition time, in seconds")
    parser.add_argument(
        "--voxel-size",
        type=float,
        help="edge of a voxel of the files, in mm, where their own grid is kept",
    )
    parser.add_argument(
        "--space",
        default="individual",
        help="template the images are aligned to (default individual: to none)",
    )
    parser.add_argument(
        "--nprocs",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="files read at once (default: every core)",
    )


def run(namespace: argparse.Namespace) -> int:
    """Convert the files; return 0, or 4 when some could not be used.

    Raises
    ------
    ConfigError
        An option is out of range, or the pattern or the labels cannot be read.
    InputError
        The table is unusable, or OUT cannot be written.
    NothingMatched
        There are no .mat files.
    """
    from bidsclf.sources._mat import convert  # heavy: not for --help

    return convert(namespace)
