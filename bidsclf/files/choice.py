"""Which derivatives of seam 1 are read: one atlas, desc, space, task, kind of map."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.config import CohortConfig
from bidsclf.config.analysis import OWN
from bidsclf.errors import ConfigError, NothingMatched
from bidsclf.files.derivatives import find_features
from bidsclf.files.images import GREY
from bidsclf.files.inputs import LOADERS, Scan
from bidsclf.files.kinds import ATLAS, kinds_of, narrow
from bidsclf.files.people import ID, listed, with_prefix
from bidsclf.options import did_you_mean

RUN = ("session", "task", "acq", "ce", "rec", "dir", "run", "echo", "part")
DESC, SPACE = ("desc",), ("space", "res")
KIND = (*DESC, *SPACE)  # of maps
GRID = "grid"  # number at the end of the desc of an image
MAP = "probseg"  # suffix of a map
KINDS = ("timeseries", "relmat", "bold", MAP)
OF_MAPS = ("gm_desc", "gm_space", "gm_res")  # their own: not those of the series


def choose_scans(
    out: Path, config: CohortConfig, inputs: Collection[str] = ()
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return one row a scan, with the paths of its tables.

    Parameters
    ----------
    out : Path
        Root of seam 1.
    config : CohortConfig
        The participants, sessions, tasks and runs to keep; for ``atlas``,
        ``desc``, ``space`` and ``gm_desc`` None takes the only one.
    inputs : collection of str
        What models take. Where they take maps alone, scans are not read and not
        chosen between, and where they take no maps, these are not; where nothing is
        said, both are read.

    Returns
    -------
    scans : DataFrame
        participant_id, the entities of the run ('' where absent), then a
        column of paths for 'timeseries', 'quality', 'volume', each stat of a
        relmat and 'graymatter' (missing where the file is); sorted by participant_id
        and run. A map is in every row of its session, or of its person where its
        name has none; one that has no such row is a row. Who has nothing of what is
        read is a row without paths.
    chosen : dict
        atlas, seg, scale, desc, space and res of the files, and the grid of images:
        'simplegrid34' is of desc 'simple' and grid '34'; '0' is the images' own. Of
        maps gm_desc, gm_space and gm_res.

    Raises
    ------
    NothingMatched
        There are no features, or none of the selected people and runs.
    ConfigError
        Several atlases, descs, spaces, grids or tasks and none chosen, or the chosen
        one is not there; the message lists what there is.
    """
    found = find_features(out)
    entities = [*ATLAS, *DESC, *SPACE, *RUN]
    found[entities] = found[entities].astype(object).where(found[entities].notna(), "")
    found = _with_grid(found)
    kept = found[found["suffix"].isin(KINDS)]
    if kept.empty:
        raise NothingMatched(
            f"{out}: no timeseries.tsv, no relmat.tsv, no volumes and no grey-matter"
            " maps below sub-*/; the group level reads what the participant level"
            " wrote. Run that first."
        )
    kept = _selected(kept, config)
    tables, maps = _asked(out, kept, inputs)
    scans = pd.DataFrame()
    chosen: dict[str, str] = {}
    if len(tables):
        scans, chosen = _chosen_scans(tables, found, config)
    if len(maps):
        of_one, said = _of_one_kind(maps, config.gm_desc)
        scans, chosen = _with_maps(scans, of_one), chosen | said
    others = kept[~kept[ID].isin([*tables[ID], *maps[ID]])].drop_duplicates(ID)
    return _joined(scans, others[[ID]].assign(**dict.fromkeys(RUN, ""))), chosen


def read_like(config: CohortConfig, described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that read the files of a description, where none is said.

    Examples
    --------
    >>> told = {"input": "graymatter", "desc": "iso64", "space": "MNI", "res": "2"}
    >>> read_like(CohortConfig(), told)
    {'gm_desc': 'iso64_space-MNI_res-2'}
    """
    if described["input"] == GREY:
        more = [f"_{name}-{described[name]}" for name in SPACE if name in described]
        return {"gm_desc": config.gm_desc or "".join([described["desc"], *more])}
    names = (ATLAS[0], *DESC, SPACE[0])
    unsaid = {name: described.get(name) for name in names if not getattr(config, name)}
    return unsaid | {"volume_size": config.size_like(described.get(GRID))}


def check_kind(out: Path, config: CohortConfig, described: Mapping[str, Any]) -> None:
    """Refuse maps of which none are of the kind that a model was fitted on.

    Parameters
    ----------
    out : Path
        Root of seam 1.
    config : CohortConfig
        Where its ``gm_desc`` is said, or there are no maps, nothing is checked.
    described : mapping
        ``Cohort.describe`` of the people of the model.

    Raises
    ------
    ConfigError
        The kind, what there is, and how it is made.
    """
    if described["input"] != GREY or config.gm_desc is not None:
        return
    found = find_features(out)
    maps = found[found["suffix"] == MAP].astype(object)
    maps = maps.where(maps.notna(), "")
    wanted = read_like(config, described)["gm_desc"]
    try:
        if len(maps):
            narrow(maps, KIND, wanted, "--gm-desc")
    except ConfigError as error:
        there = listed(sorted(kinds_of(maps, KIND).unique()))
        pipeline = described.get("preprocessing", {}).get("MapPipeline", "fmriprep")
        raise ConfigError(
            f"the model was fitted on grey-matter maps {wanted}, and below {out} are"
            f" only {there}. Run the participant level for maps of {pipeline}"
            f" with --gm-size {described['shape'][-1]}."
        ) from error


def _asked(
    out: Path, kept: pd.DataFrame, inputs: Collection[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the files of scans, and the maps, that something is taken of."""
    taken, is_map = {*inputs} & {*LOADERS}, kept["suffix"] == MAP
    tables = kept[~is_map & (taken != {GREY})]
    maps = kept[is_map & (GREY in taken or not inputs)]
    if tables.empty and maps.empty and taken - {"motion"}:
        has = "grey-matter maps" if is_map.any() else "tables or volumes of scans"
        raise NothingMatched(
            f"{out}: the models take {', '.join(sorted(taken))}, and there are only"
            f" {has} below sub-*/. Run the participant level with the --features that"
            " they take, or choose models of what there is."
        )
    return tables, maps


def _chosen_scans(
    tables: pd.DataFrame, found: pd.DataFrame, config: CohortConfig
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return one row a scan, and which of their files were chosen."""
    tables = _of_one_atlas(tables, config)
    tables = narrow(tables, DESC, config.desc, "--denoise-strategy")
    tables = narrow(tables, SPACE, config.space, "--space")
    tables = narrow(tables, ("task",), None, "--task-id")
    is_image = tables["suffix"] == "bold"
    images = tables[is_image]
    if len(images):
        images = _of_one_grid(images, config.volume_size)
        tables = pd.concat([tables[~is_image], images])
    chosen = tables[[*ATLAS, *DESC, *SPACE]].iloc[0].to_dict()
    chosen[GRID] = images[GRID].iloc[0] if len(images) else ""
    quality = found[found["suffix"] == "quality"]
    for name in (*DESC, *SPACE):
        quality = quality[quality[name] == chosen[name]]
    return _scans(tables, quality), {k: v for k, v in chosen.items() if v}


def scans_of(files: pd.DataFrame) -> list[Scan]:
    """Return the tables of each scan by kind, without those that are absent."""
    kinds = [name for name in files if name not in (ID, *RUN)]
    return [
        {
            k: path
            for k, path in zip([ID, *kinds], paths, strict=True)
            if isinstance(path, Path)
        }
        for paths in files[[ID, *kinds]].itertuples(index=False, name=None)
    ]


def _with_grid(found: pd.DataFrame) -> pd.DataFrame:
    """Split the desc of images into that of the tables beside them and the grid."""
    parts = found["desc"].str.extract(r"^(.*?)(?:grid(\d+))?$").fillna("")
    is_image = found["suffix"] == "bold"
    return found.assign(
        desc=parts[0].where(is_image, found["desc"]), grid=parts[1].where(is_image, "")
    )


def _of_one_atlas(tables: pd.DataFrame, config: CohortConfig) -> pd.DataFrame:
    """Keep the tables of one atlas; images are of none."""
    is_image = tables["suffix"] == "bold"
    if is_image.all() and config.atlas is None:
        return tables
    narrowed = narrow(tables[~is_image], ATLAS, config.atlas, "--atlases")
    return pd.concat([narrowed, tables[is_image]])


def _of_one_grid(images: pd.DataFrame, size: int | None) -> pd.DataFrame:
    """Keep the images of one grid; messages name it as --volume-size does."""
    words = images.assign(grid=images[GRID].replace("0", OWN))
    wanted = None if size is None else str(size or OWN)
    return images.loc[narrow(words, (GRID,), wanted, "--volume-size").index]


def _scans(tables: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    """Turn one row a file into one row a scan."""
    keys = [ID, *RUN]
    held = tables["stat"].where(tables["suffix"] == "relmat", tables["suffix"])
    held = held.replace("bold", "volume")
    wide = tables.assign(held=held).pivot(index=keys, columns="held", values="path")
    measured = quality.set_index(keys)["path"].rename("quality")
    return wide.join(measured).reset_index().rename_axis(columns=None)


def _of_one_kind(
    maps: pd.DataFrame, wanted: str | None
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Keep the maps of one desc, space and res, and say which these are."""
    maps = narrow(maps, KIND, wanted, "--gm-desc")
    said = zip(OF_MAPS, maps[[*KIND]].iloc[0], strict=True)
    return maps, {name: value for name, value in said if value}


def _with_maps(scans: pd.DataFrame, maps: pd.DataFrame) -> pd.DataFrame:
    """Give scans the maps of their session or person; a map left over is a row."""
    first: dict[tuple[str, str], Path] = {}
    for who, session, path in maps[[ID, "session", "path"]].itertuples(index=False):
        first.setdefault((who, session), path)
    if len(scans):
        keys = zip(scans[ID], scans["session"], strict=True)
        cells = [first.get(key, first.get((key[0], ""))) for key in keys]
        scans = scans.assign(**{GREY: pd.Series(cells, scans.index, dtype=object)})
    held = {*scans[GREY]} if len(scans) else set()
    own = maps[~maps["path"].isin(held)]
    return _joined(scans, own[[ID, *RUN, "path"]].rename(columns={"path": GREY}))


def _joined(scans: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of both, sorted; what one of them lacks is missing."""
    if more.empty:
        return scans
    rows = [*scans.to_dict("records"), *more.to_dict("records")]
    return pd.DataFrame(rows).sort_values([ID, *RUN], ignore_index=True)


def _selected(tables: pd.DataFrame, config: CohortConfig) -> pd.DataFrame:
    wanted = {
        ("--participant-label", ID): [with_prefix(p) for p in config.participant_label],
        ("--session-label", "session"): config.session_label,
        ("--task-id", "task"): config.task_id,
        ("--run-id", "run"): config.run_id,
    }
    for (option, column), words in wanted.items():
        known = [value for value in tables[column].unique() if value]
        absent = [word for word in words if word not in known]
        if absent:
            raise NothingMatched(
                f"{option} {absent[0]}: there are no features of it;"
                f" there are: {listed(known, 10)}.{did_you_mean(absent[0], known)}"
            )
        if words:
            is_free = (tables["suffix"] == MAP) & (  # a map is of no task and no run
                (column in ("task", "run")) | (tables[column] == "")
            )
            tables = tables[tables[column].isin(words) | is_free]
    if tables.empty:
        raise NothingMatched(
            "no features are of the selected participants, sessions, tasks and runs"
            " at once. Select fewer options."
        )
    return tables
