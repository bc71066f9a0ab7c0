"""Words to a namespace of text; nothing is judged here but the spelling."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from bidsclf import __version__
from bidsclf.arguments.table import GROUPS, RUN, Option, listed, settings, takes_many
from bidsclf.config import LEVELS
from bidsclf.errors import ConfigError

POSITIONALS = (
    ("bids_dir", "BIDS_DIR", "raw dataset (with -d) or fMRIPrep's output; at group and"
     " predict the dataset or OUTPUT_DIR itself"),
    ("output_dir", "OUTPUT_DIR", "where results are written; never inside BIDS_DIR"),
    ("level", "{" + ",".join(LEVELS) + "}", "participant: scans to features;"
     " group: features to models and their evaluation; predict: a model to new people"),
)  # fmt: skip


class _Formatter(argparse.HelpFormatter):
    """Help without the spellings that only differ by underscores."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=88)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        metavar = str(action.metavar or default_metavar)
        return f"{metavar} ..." if action.nargs == "*" else metavar

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        flags = [f for f in action.option_strings if "_" not in f]
        words = "" if action.nargs == 0 else f" {self._format_args(action, '')}"
        return ", ".join(flags) + words


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ConfigErrors."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving the process."""
        raise ConfigError(f"{message}. Run {self.prog} --help for the options.")


def _help_text(option: Option, known: Any) -> str:
    allowed = known.metadata.get("choices") or listed(option.name)
    is_list = isinstance(known.default, tuple)
    default = " ".join(known.default) if is_list else known.default
    if isinstance(default, float):
        default = f"{default:g}"
    is_open = default in (None, "") or known.type is bool or option.name == "--verbose"
    kind = "of the families" if option.name == "--models" else "one of"
    notes = [
        f"{kind} {', '.join(allowed)}" if allowed else "",
        "" if is_open else f"default {default}",
    ]
    extra = "; ".join(note for note in notes if note)
    return (f"{option.help} ({extra})" if extra else option.help).replace("%", "%%")


def _add(group: Any, option: Option) -> None:
    path, known = settings()[option.name]
    words = {"dest": path, "help": _help_text(option, known)}
    if option.name == "--verbose":
        group.add_argument(*option.flags, action="count", **words)
    elif known.type is bool:
        group.add_argument(*option.flags, action="store_true", **words)
    elif takes_many(option, known):
        group.add_argument(
            *option.flags, nargs="*", action="extend", metavar=option.metavar, **words
        )
    else:
        group.add_argument(*option.flags, nargs="?", metavar=option.metavar, **words)


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``run.py``: text in, text out, absent means not asked."""
    made = Parser(
        prog="run.py",
        usage="run.py BIDS_DIR OUTPUT_DIR {participant,group,predict} [options]",
        description="Learn to tell diagnoses apart from fMRIPrep derivatives, and say"
        " honestly how well that works. Research software, not a medical device.",
        epilog="Exit codes: 0 done, 1 a bug, 2 usage, 3 no input that can be used,"
        " nothing was computed, 4 some units failed and the rest is complete, 5 results"
        " complete but a report failed.",
        argument_default=argparse.SUPPRESS,
        formatter_class=_Formatter,
        allow_abbrev=False,
        add_help=False,
    )
    for dest, metavar, text in POSITIONALS:
        made.add_argument(dest, metavar=metavar, nargs="?", help=text)
    for title, options in GROUPS:
        group = made.add_argument_group(title)
        for option in options:
            _add(group, option)
        if title == RUN:
            group.add_argument(
                *("--config-file", "--config_file"), dest="config_file", nargs="?",
                metavar="TOML", help="settings, as saved in logs/<run id>/bidsclf.toml;"
                " the command line wins",
            )  # fmt: skip
            group.add_argument("-h", "--help", action="help", help="print this text")
            group.add_argument(
                "--version", action="version", version=f"bidsclf {__version__}",
                help="print the version",
            )  # fmt: skip
    return made


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Return what was asked for, as text; ``unknown`` holds the words left over.

    Examples
    --------
    >>> vars(parse(["in", "out", "group", "--n-folds", "5", "--oops"]))["unknown"]
    ['--oops']
    """
    namespace, unknown = parser().parse_known_intermixed_args(list(argv))
    namespace.unknown = unknown
    return namespace
