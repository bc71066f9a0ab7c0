"""What is to become of each scan and each map, before any is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bidsclf.config import Config, ExtractConfig
from bidsclf.files import paths, status
from bidsclf.files.discover import Discovery
from bidsclf.files.volumes import desc as volume_desc
from bidsclf.scan import GreyMap, Scan
from bidsclf.workflows import _greymaps, _scans, _units

CLASH = (
    "its files were made with other settings under the same desc-."
    " Give another output folder, or --force to replace them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A scan or map and its fate: 'to do', 'done before' or 'failed'."""

    source: Scan | GreyMap
    unit: str
    key: str
    state: str = "to do"


def plan(
    config: Config, found: Discovery, atlases: Sequence[_scans.Atlas]
) -> list[Planned]:
    """Decide for each scan and map whether it is to do, done before, or contradicts.

    One whose files were made with other settings fails unless ``--force``, so that
    nothing is lost.
    """
    extract = config.extract
    units: list[tuple[Scan | GreyMap, str, str]] = [
        (scan, _scans.unit_name(scan, extract), _scans.unit_key(scan, extract, atlases))
        for scan in found.scans
    ]
    units += [
        (grey, _greymaps.unit_name(grey, extract), _greymaps.unit_key(grey, extract))
        for grey in found.maps
    ]
    return [
        Planned(source=one, unit=unit, key=key, state=_state(config, one, unit, key))
        for one, unit, key in units
    ]


def _state(config: Config, source: Scan | GreyMap, unit: str, key: str) -> str:
    out = config.output_dir
    before = status.read_status(out, unit)
    if config.run.force or before is None or before.state != "done":
        return "to do"
    is_scan = isinstance(source, Scan)
    if not _units.same_settings(before.key, key) or (
        is_scan and _scans.other_volumes(out, before, config.extract)
    ):
        return "failed"
    return "done before" if status.is_done(out, unit, key) else "to do"


def forecast(
    config: Config,
    found: Discovery,
    planned: Sequence[Planned],
    atlases: Sequence[_scans.Atlas],
) -> list[str]:
    """Return the lines of ``--dry-run``."""
    counts = [f"{len(found.scans)} scans"] if config.extract.needs_scans else []
    counts += [f"{len(found.maps)} maps"] if config.extract.needs_maps else []
    lines = [", ".join([*counts, f"{len(found.problems)} problems"]), *found.notes]
    for one in planned:
        lines.append(f"{one.unit}: {CLASH if one.state == 'failed' else one.state}")
        if one.state == "to do":
            lines += _files(config, one.source, atlases)
    return lines + [f"{bad.unit}: {bad.message}" for bad in found.problems]


def _files(
    config: Config, source: Scan | GreyMap, atlases: Sequence[_scans.Atlas]
) -> list[str]:
    """Return the files that a scan or map would become, a line each."""
    out = config.output_dir
    if isinstance(source, GreyMap):
        return [f"  {out / _greymaps.path_of(source, config.extract)}"]
    desc = paths.label(Path(config.extract.denoise.strategy).stem)
    whole = {"space": source.space, "res": source.res, "desc": desc}
    lines = []
    for atlas in atlases:
        grid = {"atlas": atlas.name, "seg": atlas.seg, "scale": atlas.scale}
        given = {k: v for k, v in (whole | grid).items() if v is not None}
        entities = source.entities | given | {"stat": "mean"}
        name = paths.build(entities, "timeseries", ".tsv")
        lines.append(f"  {out / name} and what belongs to it")
    if "volume" in config.extract.features:
        grid = {"desc": volume_desc(desc, config.extract.volume.size)}
        given = {k: v for k, v in (whole | grid).items() if v is not None}
        lines.append(
            f"  {out / paths.build(source.entities | given, 'bold', '.nii.gz')}"
        )
    return lines


def descriptions(config: Config, planned: Sequence[Planned]) -> dict[str, str]:
    """Return what each ``desc-`` that some scan or map has come to means."""
    out = config.output_dir
    done = [o.source for o in planned if status.is_done(out, o.unit, o.key)]
    maps = [source for source in done if isinstance(source, GreyMap)]
    said = _of_scans(config.extract) if len(done) > len(maps) else {}
    return said | _greymaps.descriptions(maps, config.extract)


def _of_scans(extract: ExtractConfig) -> dict[str, str]:
    stem = Path(extract.denoise.strategy).stem
    cleaned = f"Cleaned by the strategy {stem}"
    said, size = {stem: f"{cleaned}."}, extract.volume.size
    if "volume" in extract.features:
        grid = f"volumes on a grid of {size} cells along each axis."
        said[volume_desc(stem, size)] = f"{cleaned}; {grid}"
    return said
