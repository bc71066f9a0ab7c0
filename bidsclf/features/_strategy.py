"""A denoising strategy: a file that names what is removed."""

import hashlib
import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any

from bidsclf.errors import ConfigError
from bidsclf.options import did_you_mean

FD = "framewise_displacement"
AXES = tuple(f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz")
BASES = {
    "motion": AXES,
    "wm_csf": ("csf", "white_matter"),
    "global_signal": ("global_signal",),
}
SUFFIXES = {
    "basic": ("",),
    "derivatives": ("", "_derivative1"),
    "power2": ("", "_power2"),
    "full": ("", "_derivative1", "_power2", "_derivative1_power2"),
}
NUMBERED = ("motion_outlier", "non_steady_state_outlier", "cosine")  # as many as found


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A strategy file: nilearn's preset with its options, or a list of columns.

    Attributes
    ----------
    name : str
        The file's name without extension; the ``desc-`` of the outputs.
    preset : str or None
        ``denoise_strategy`` of nilearn's ``load_confounds_strategy``.
    options : dict
        Its keyword arguments.
    columns : tuple of str
        Names or glob patterns, where there is no preset.
    """

    name: str
    preset: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all but the name: tells two files of one name apart."""
        content = json.dumps([self.preset, self.options, self.columns], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def censoring(self, fd_thresh_mm: float | None) -> dict[str, float | None]:
        """Return the thresholds in force, under their names in the sidecars.

        Parameters
        ----------
        fd_thresh_mm : float or None
            Takes the place of the strategy's own.
        """
        own = self.options if self.preset == "scrubbing" else {}
        fd_mm = own.get("fd_threshold") if fd_thresh_mm is None else fd_thresh_mm
        return {
            "FDThreshold": fd_mm,
            "StdDVARSThreshold": own.get("std_dvars_threshold"),
            "MinSegmentVolumes": own.get("scrub"),
        }

    def missing(self, present: list[str]) -> list[str]:
        """Return what the strategy needs and a table with these columns lacks.

        Those of ``NUMBERED`` may all be absent, as in a scan without motion.
        """
        needed = [
            base + suffix
            for key, bases in BASES.items()
            if key in self.options
            for suffix in SUFFIXES[self.options[key]]
            for base in bases
        ]
        if self.preset == "scrubbing":
            needed += [FD, "std_dvars"]
        if self.preset == "compcor":
            needed.append("a_comp_cor_*")
        needed += [c for c in self.columns if not _may_be_absent(c)]
        return [n for n in needed if not any(fnmatchcase(p, n) for p in present)]


def strategy_names() -> tuple[str, ...]:
    """List the strategies of ``data/strategies``.

    Examples
    --------
    >>> strategy_names()
    ('aroma', 'compcor', 'scrubbing', 'simple', 'simple+gsr')
    """
    folder = files("bidsclf") / "data" / "strategies"
    return tuple(
        sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".json"))
    )


def load_strategy(name_or_path: str) -> Strategy:
    """Read a named strategy, or a user's JSON file ``{"columns": [...]}``.

    Raises
    ------
    ConfigError
        If there is no such name and no such file, or the file is not a strategy.
    """
    known = strategy_names()
    path = Path(name_or_path)
    if name_or_path in known:
        text, name = _named(name_or_path), name_or_path
    elif path.is_file():
        text, name = path.read_text(encoding="utf-8", errors="replace"), path.stem
    else:
        raise ConfigError(
            f"--denoise-strategy is {name_or_path!r}; it takes a strategy's"
            f" name or a JSON file of columns."
            f" The names are: {', '.join(known)}.{did_you_mean(name_or_path, known)}"
        )
    try:
        values = json.loads(text)
        return Strategy(
            name=name,
            preset=values.get("strategy"),
            options=_options(values),
            columns=_columns(values),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: not a denoising strategy ({error})."
            ' It is JSON such as {"columns": ["trans_?", "rot_?", "csf"]}.'
        ) from error


def needs_aroma(strategy: str) -> bool:
    """Tell whether a strategy is for images that ICA-AROMA denoised.

    Parameters
    ----------
    strategy : str
        A name, or the path of a JSON file.

    Raises
    ------
    ConfigError
        As ``load_strategy``.

    Examples
    --------
    >>> needs_aroma("aroma"), needs_aroma("simple")
    (True, False)
    """
    return load_strategy(strategy).preset == "ica_aroma"


def _named(name: str) -> str:
    file = files("bidsclf") / "data" / "strategies" / f"{name}.json"
    return file.read_text(encoding="utf-8")


def _options(values: dict[str, Any]) -> dict[str, Any]:
    """Return the options; a user's scrubbing takes our thresholds where it has none."""
    given = dict(values.get("options", {}))
    if values.get("strategy") != "scrubbing":
        return given
    ours: dict[str, Any] = json.loads(_named("scrubbing"))["options"]
    return {**ours, **given}


def _may_be_absent(column: str) -> bool:
    """Tell whether fMRIPrep leaves columns out where it finds nothing.

    Examples
    --------
    >>> _may_be_absent("motion_outlier*"), _may_be_absent("cosine00")
    (True, True)
    >>> _may_be_absent("motion_outlier"), _may_be_absent("csf*")
    (False, False)
    """
    possible = (f"{name}{n:02d}" for name in NUMBERED for n in range(100))
    return any(fnmatchcase(one, column) for one in possible)


def _columns(values: dict[str, Any]) -> tuple[str, ...]:
    columns = values.get("columns", [] if "strategy" in values else None)
    if not isinstance(columns, list) or not all(isinstance(c, str) for c in columns):
        raise ValueError("no list of text named 'columns'")
    return tuple(columns)
