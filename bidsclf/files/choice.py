"""Which derivatives of seam 1 are read: one atlas, one desc, one space, one task."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pandas as pd

from bidsclf.config import CohortConfig
from bidsclf.config.analysis import OWN
from bidsclf.errors import ConfigError, NothingMatched
from bidsclf.files.derivatives import find_features
from bidsclf.files.inputs import Scan
from bidsclf.files.people import ID, listed, with_prefix
from bidsclf.options import did_you_mean

RUN = ("session", "task", "acq", "ce", "rec", "dir", "run", "echo", "part")
ATLAS, DESC, SPACE = ("atlas", "seg", "scale"), ("desc",), ("space", "res")
GRID = "grid"  # number at the end of the desc of an image
KINDS = ("timeseries", "relmat", "bold")


def choose_scans(
    out: Path, config: CohortConfig
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return one row a scan, with the paths of its tables.

    Parameters
    ----------
    out : Path
        Root of seam 1.
    config : CohortConfig
        The participants, sessions, tasks and runs to keep; for ``atlas``,
        ``desc`` and ``space`` None takes the only one.

    Returns
    -------
    scans : DataFrame
        participant_id, the entities of the run ('' where absent), then a
        column of paths for 'timeseries', 'quality', 'volume' and each stat of a
        relmat (missing where the file is); sorted by participant_id and run.
    chosen : dict
        atlas, seg, scale, desc, space and res of the files, and the grid of images:
        'simplegrid34' is of desc 'simple' and grid '34'; '0' is the images' own.

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
    tables = found[found["suffix"].isin(KINDS)]
    if tables.empty:
        raise NothingMatched(
            f"{out}: no timeseries.tsv, no relmat.tsv and no volumes below sub-*/; the"
            " group level reads what the participant level wrote. Run that first."
        )
    tables = _of_one_atlas(_selected(tables, config), config)
    tables = _narrow(tables, DESC, config.desc, "--denoise-strategy")
    tables = _narrow(tables, SPACE, config.space, "--space")
    tables = _narrow(tables, ("task",), None, "--task-id")
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
    kinds = files.columns.drop([ID, *RUN])
    return [
        {
            k: path
            for k, path in zip(kinds, paths, strict=True)
            if isinstance(path, Path)
        }
        for paths in files[kinds].itertuples(index=False, name=None)
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
    narrowed = _narrow(tables[~is_image], ATLAS, config.atlas, "--atlases")
    return pd.concat([narrowed, tables[is_image]])


def _of_one_grid(images: pd.DataFrame, size: int | None) -> pd.DataFrame:
    """Keep the images of one grid; messages name it as --volume-size does."""
    words = images.assign(grid=images[GRID].replace("0", OWN))
    wanted = None if size is None else str(size or OWN)
    return images.loc[_narrow(words, (GRID,), wanted, "--volume-size").index]


def _scans(tables: pd.DataFrame, quality: pd.DataFrame) -> pd.DataFrame:
    """Turn one row a file into one row a scan."""
    keys = [ID, *RUN]
    held = tables["stat"].where(tables["suffix"] == "relmat", tables["suffix"])
    held = held.replace("bold", "volume")
    wide = tables.assign(held=held).pivot(index=keys, columns="held", values="path")
    measured = quality.set_index(keys)["path"].rename("quality")
    return wide.join(measured).reset_index().rename_axis(columns=None)


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
            tables = tables[tables[column].isin(words)]
    if tables.empty:
        raise NothingMatched(
            "no features are of the selected participants, sessions, tasks and runs"
            " at once. Select fewer options."
        )
    return tables


def _plain(text: str) -> str:
    return re.sub(r"[^0-9a-z]", "", text.lower())


def _matching(known: list[str], wanted: str) -> list[str]:
    """Return the values that a word stands for, compared by letters and digits.

    A word is the whole value, its first entity, or the name of a file in
    ``data/atlases``: 'schaefer200' is 'Schaefer2018_seg-7n_scale-200'.
    """
    listing = files("bidsclf") / "data" / "atlases" / f"{_plain(wanted)}.json"
    if listing.is_file():
        said = json.loads(listing.read_text(encoding="utf-8"))
        pairs = [f"{key}-{said[key]}" for key in ATLAS[1:] if key in said]
        wanted_file = "_".join([said["name"], *pairs])
    else:
        wanted_file = wanted
    for word in (wanted, wanted_file):
        whole = [value for value in known if _plain(value) == _plain(word)]
        first = [v for v in known if _plain(v.partition("_")[0]) == _plain(word)]
        if whole or first:
            return whole or first
    return []


def _narrow(
    tables: pd.DataFrame, entities: tuple[str, ...], wanted: str | None, option: str
) -> pd.DataFrame:
    """Keep the files of one value of the entities, the wanted or the only one."""
    values = tables[entities[0]].copy()
    for name in entities[1:]:
        values += tables[name].map(lambda v, name=name: f"_{name}-{v}" if v else "")
    known = sorted(values.unique())
    matched = known if wanted is None else _matching(known, wanted)
    if not matched:
        raise ConfigError(
            f"{option} {wanted}: no features of it;"
            f" there are: {', '.join(known) or 'none'}."
            f"{did_you_mean(wanted or '', known)}"
        )
    if len(matched) > 1:
        raise ConfigError(
            f"the features are of {len(matched)} kinds: {', '.join(matched)};"
            f" a cohort has one. Choose with {option}."
        )
    return tables[values == matched[0]]
