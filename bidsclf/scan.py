"""What is read: the files of one run, or one grey-matter map."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bidsclf.errors import InputError

MAX_TR_S = 20.0  # a larger one is in milliseconds; ours
# of grey matter in a voxel: a warp that squeezes tissue tenfold has failed; ours
MOST_SHARE, MOST_MODULATED = 1.0, 10.0
GREY_SLACK = 1e-3  # beyond these, by interpolation before us as fMRIPrep's; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One preprocessed run.

    Raises
    ------
    InputError
        The repetition time is not one in seconds.

    Attributes
    ----------
    entities : dict
        Every entity of the source name, short keys, in BIDS order:
        ``{"sub": "01", "ses": "1", "task": "rest", "run": "1"}``; without
        ``space``, ``res`` and ``desc``.
    bold : Path
        Preprocessed 4D image.
    mask, confounds : Path or None
        Brain mask on the same grid, and the table of confounds.
    space, res : str, str or None
        Template of the image and its ``res-`` label.
    tr_s : float
        Repetition time in seconds.
    metadata : dict
        The image's sidecar, inheritance resolved.
    dataset : Path
        Root of the derivative dataset, for BIDS URIs.
    """

    entities: dict[str, str]
    bold: Path
    mask: Path | None
    confounds: Path | None
    space: str
    res: str | None = None
    tr_s: float
    metadata: dict[str, Any] = field(default_factory=dict)
    dataset: Path

    def __post_init__(self) -> None:
        if not 0 < self.tr_s < MAX_TR_S:
            hint = " Milliseconds?" if self.tr_s >= MAX_TR_S else ""
            raise InputError(
                f"{self.bold.name.partition('.')[0]}.json: RepetitionTime is"
                f" {self.tr_s:g}; BIDS gives it in seconds, so 0 < TR < {MAX_TR_S:g}."
                f"{hint} Mend the sidecar."
            )

    @property
    def name(self) -> str:
        """The unit's name: ``sub-01_ses-1_task-rest_run-1``."""
        return "_".join(f"{key}-{value}" for key, value in self.entities.items())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_dict`` is the inverse."""
        return _plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Scan":
        """Rebuild a scan from ``to_dict``."""
        return cls(**_fields(cls, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class GreyMap:
    """One map of grey matter in a template's space.

    Attributes
    ----------
    entities : dict
        Who and when, short keys, in BIDS order: ``{"sub": "01", "ses": "1"}``;
        without ``space``, ``res``, ``label`` and ``desc``.
    path : Path
        3D image.
    pipeline : {'fmriprep', 'cat12', 'vbm'}
    is_modulated : bool
        Whether values are multiplied by the change of volume of the warp; else they
        are shares, in [0, 1].
    space, res : str, str or None
    dataset : Path
        Folder that was searched, for BIDS URIs.
    notes : tuple of str
        What a reader should know of how the map was found.
    """

    entities: dict[str, str]
    path: Path
    pipeline: str
    is_modulated: bool
    space: str
    res: str | None = None
    dataset: Path
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The map's name: ``sub-01_ses-1_label-GM``."""
        pairs = self.entities | {"label": "GM"}
        return "_".join(f"{key}-{value}" for key, value in pairs.items())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; ``from_dict`` is the inverse."""
        return _plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GreyMap":
        """Rebuild a map from ``to_dict``."""
        return cls(**_fields(cls, values) | {"notes": tuple(values["notes"])})


def _plain(one: Any) -> dict[str, Any]:
    return {
        key: str(value) if isinstance(value, Path) else value
        for key, value in asdict(one).items()
    }


def _fields(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f.name: Path(values[f.name])
        if "Path" in str(f.type) and values[f.name] is not None
        else values[f.name]
        for f in fields(kind)
    }
