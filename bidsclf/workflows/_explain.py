"""What models look at: taken down fold by fold, then joined to tables."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.crossval import FitResult
from bidsclf.crossval.rows import of_rows, rows_of, split_traits
from bidsclf.files import store
from bidsclf.folds import Fold
from bidsclf.interpret import attribution, communities
from bidsclf.models._base import find
from bidsclf.models._harmonized import from_features, to_features
from bidsclf.models._rows import take
from bidsclf.workflows import _latent, _latent_images, _maps, _shared
from bidsclf.workflows._jobs import Job

MEMBERSHIP, INPUTS = "generator.weight", "classifier.weight_ih_l0"  # of lstm-h, -dg
METHODS = {"pattern": "haufe", "gradient": "integrated gradients"}
COLUMNS = {
    "attributions": "model method region signed absolute sd n_folds",
    "attribution_time": "model volume absolute sd",
    "patterns": "model region_a region_b pattern sd",
    "maps": "model method n_people n_folds x y z size signed correlation",
    "communities": "model fold community region weight member",
    "influence": "model fold community influence rank n_members",
    "robustness": "method fold correlation dice mean_size n_compared n_skipped",
    "latents": "model fit fold participant_id label",
    "learning": "model repeat fold member epoch measure train valid kept",
}
Arrays = dict[str, np.ndarray]


def look(job: Job, found: FitResult, x: Any, shared: dict[str, Any]) -> Arrays:
    """Return what one fitted model makes of regions, edges, places and communities.

    Gradients are of test people, whom the model has not learned from; a pattern is
    of the training people, as is its definition. The model of everyone has
    communities only.
    """
    ways, arrays = find(job.model).explained, {}
    fold = _shared.fold_of(shared, job.number)
    rows = np.array(shared["rows"])
    if job.is_test and "gradient" in ways:
        one = attribution.attribute(
            found.model,
            take(x, rows_of(fold.test, rows)),
            n_regions=len(regions_of(shared, job.model)),
        )
        arrays |= _plain(one)
    if job.is_test and "volume" in ways:
        tested = take(x, rows_of(fold.test, rows))
        learned = take(x, rows_of(np.concatenate([fold.train, fold.valid]), rows))
        arrays |= _maps.look(found.fitted.models, tested, learned, job.seed)
    if job.is_test and "pattern" in ways:
        arrays |= _pattern(job, found, x, shared)
    if "latent" in ways:
        arrays |= _latent.look(job, found, x, shared)
    if "communities" in ways:
        state = found.model.network.state_dict()  # type: ignore[attr-defined]
        membership = state[MEMBERSHIP].cpu().numpy().copy()
        membership[found.model.dead] = 0  # type: ignore[attr-defined]
        arrays |= {"membership": membership, "inputs": state[INPUTS].cpu().numpy()}
    return arrays


def _plain(one: attribution.Attribution) -> Arrays:
    values = {"signed": one.signed, "absolute": one.absolute}
    return values if one.time is None else values | {"time": one.time}


def _pattern(job: Job, found: FitResult, x: Any, shared: dict[str, Any]) -> Arrays:
    """Return the pattern over edges, in their unit, for one SD of the decisions.

    The SD, since how large decisions are depends on the penalty of the fold. Of
    covariances these are the logarithm's cells off the diagonal.
    """
    fold, rows = _shared.fold_of(shared, job.number), np.array(shared["rows"])
    learned = np.unique(np.concatenate([fold.train, fold.valid]))
    which = rows_of(learned, rows)
    seen, harmonizer = take(x, which), found.harmonizer
    features = to_features(seen)
    if harmonizer is not None:
        traits = of_rows(_shared.traits_of(shared), rows[which])
        features = harmonizer.apply(features, *split_traits(traits))
        seen = from_features(seen, features, has_products=False)
    decisions = found.model.decide(seen)  # type: ignore[attr-defined]
    spread = max(float(decisions.std()), 1e-300)
    pattern = attribution.haufe_pattern(features, decisions / spread)
    n = len(regions_of(shared, job.model))
    if len(pattern) == n * (n + 1) // 2:  # with a diagonal; norms as matrices have
        first, second = np.triu_indices(n)
        pattern = pattern[first != second] / np.sqrt(2)
    return {"pattern": pattern} | _plain(attribution.pattern_attribution(pattern, n))


def tensor(x: Any, job: Job, shared: dict[str, Any]) -> Arrays:
    """Return the communities that a tensor decomposition finds in training people."""
    fold: Fold = _shared.fold_of(shared, job.number)
    learned = np.unique(np.concatenate([fold.train, fold.valid]))
    chosen = find(job.model).settings | _shared.settings_of(shared, job.model)
    found = communities.tensor_communities(
        take(x, rows_of(learned, np.array(shared["rows"]))),
        rank=chosen["n_communities"],
        window=chosen["window"],
        seed=job.seed,
    )
    return {"membership": found.regions}


def regions_of(shared: dict[str, Any], model: str) -> list[str]:
    """Return the names of the regions that a model sees."""
    regions: list[str] = shared["described"][find(model).input]["regions"]
    return regions


def file_of(work: Path, unit: str) -> Path:
    """Return the file of what one fit looks at."""
    return work / "explained" / f"{unit}.npz"


def keep(work: Path, unit: str, arrays: Arrays) -> list[Path]:
    """Write arrays of ``look`` or ``tensor``, if there are any."""
    path = file_of(work, unit)
    path.unlink(missing_ok=True)
    if not arrays:
        return []
    with store.atomic(path) as unfinished, unfinished.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    return [path]


def _kept(work: Path, jobs: Iterable[Job]) -> Iterator[tuple[Job, Arrays]]:
    for job in jobs:
        path = file_of(work, job.unit)
        if path.exists():
            with np.load(path, allow_pickle=False) as arrays:
                found = dict(arrays)
            yield job, found


def attribution_tables(work: Path, jobs: list[Job]) -> dict[str, pd.DataFrame]:
    """Return attributions, attribution_time and patterns, the mean over all folds."""
    shared = _shared.read(work)
    told: dict[str, list[pd.DataFrame]] = {
        "attributions": [],
        "attribution_time": [],
        "patterns": [],
    }
    tested = [job for job in jobs if job.is_test]
    for model in dict.fromkeys(job.model for job in tested):
        own = (job for job in tested if job.model == model)
        folds = [arrays for _, arrays in _kept(work, own) if "absolute" in arrays]
        if not folds:
            continue
        regions, way = regions_of(shared, model), find(model).explained[0]
        each = [
            attribution.Attribution(one["signed"], one["absolute"], one.get("time"))
            for one in folds
        ]
        told["attributions"].append(
            attribution.attribution_table(
                each, regions, model=model, method=METHODS[way]
            )
        )
        told["attribution_time"].append(attribution.time_table(each, model=model))
        if "pattern" in folds[0]:
            patterns = [one["pattern"] for one in folds]
            told["patterns"].append(
                attribution.pattern_table(patterns, regions, model=model)
            )
    return _joined(told)


def map_tables(work: Path, analysis: Path, jobs: list[Job]) -> dict[str, pd.DataFrame]:
    """Write the maps of volumes, the mean over all folds, and return their table."""
    described = _shared.read(work)["described"]
    tested = [job for job in jobs if job.is_test]
    found: dict[str, list[Arrays]] = {}
    for job, arrays in _kept(work, tested):
        if "gradient" in arrays:
            found.setdefault(job.model, []).append(arrays)
    table = _maps.write(analysis, found, described["volume"])
    return _joined({"maps": [table]})


def latent_tables(
    work: Path, analysis: Path, jobs: list[Job]
) -> dict[str, pd.DataFrame]:
    """Write the images that models with latents make, and return where people lie."""
    shared = _shared.read(work)
    parts: list[pd.DataFrame] = []
    totals: _latent_images.Totals = {}
    for job, arrays in _kept(work, (job for job in jobs if job.kind == "fit")):
        if "people" in arrays:
            parts.append(_latent.part(shared, job, arrays))
            _latent_images.add(totals, job, arrays)
    for model, _ in list(totals)[:1]:
        described = shared["described"][find(model).input]
        _latent_images.write(analysis, totals, shared, described)
    return _joined({"latents": parts})


def community_tables(work: Path, jobs: list[Job]) -> dict[str, pd.DataFrame]:
    """Return communities, influence and robustness, of repeat 1 and of everyone."""
    shared = _shared.read(work)
    told: dict[str, list[pd.DataFrame]] = {
        "communities": [],
        "influence": [],
        "robustness": [],
    }
    of_method: dict[str, dict[int, np.ndarray]] = {}
    for job, arrays in _kept(work, jobs):
        if "membership" not in arrays:
            continue
        fold, membership = _shared.fold_of(shared, job.number), arrays["membership"]
        if job.is_first(fold):
            name = "parafac" if job.kind == "tensor" else job.model
            of_method.setdefault(name, {})[fold.fold] = membership
        if job.kind == "tensor" or not (job.is_first(fold) or not job.is_test):
            continue
        where = {"model": job.model, "fold": fold.fold if job.is_test else 0}
        regions = regions_of(shared, job.model)
        told["communities"].append(
            communities.community_table(membership, regions, **where)
        )
        told["influence"].append(
            communities.influence_table(membership, arrays["inputs"], **where)
        )
    told["robustness"] = [
        communities.robustness_table(method, folds)
        for method, folds in of_method.items()
    ]
    return _joined(told)


def learning_table(
    work: Path, jobs: list[Job], notes: Mapping[str, dict[str, Any]]
) -> pd.DataFrame:
    """Return how each network learned: a row an epoch and measure.

    Parameters
    ----------
    work : Path
    jobs : list of Job
    notes : mapping
        What each fit left, by unit.

    Returns
    -------
    table : DataFrame
        The column ``member`` is there only where a model has several networks.
    """
    shared, lines = _shared.read(work), []
    for job in (job for job in jobs if job.is_test):
        fold = _shared.fold_of(shared, job.number)
        place = {"model": job.model, "repeat": fold.repeat, "fold": fold.fold}
        members = notes[job.unit].get("members")
        if members is None:
            lines += _epochs(notes[job.unit], place | {"member": 0})
        for number, one in enumerate(members or [], start=1):
            lines += _epochs(one, place | {"member": number})
    table = pd.DataFrame(lines, columns=COLUMNS["learning"].split())
    has_members = any(line["member"] for line in lines)
    return table if has_members else table.drop(columns="member")


def _epochs(found: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the measures of every epoch of one network."""
    for entry in found.get("history", []):
        train, valid = entry["train"], entry.get("valid", {})
        for measure in dict.fromkeys([*train, *valid]):
            yield place | {
                "epoch": entry["epoch"],
                "measure": measure,
                "train": train.get(measure),
                "valid": valid.get(measure),
                "kept": int(entry["epoch"] == found["epoch"]),
            }


def _joined(told: dict[str, list[pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Return tables joined; one without a row has its columns at least."""
    return {
        name: pd.concat(
            [table for table in tables if len(table)] or [_empty(name)],
            ignore_index=True,
        )
        for name, tables in told.items()
    }


def _empty(name: str) -> pd.DataFrame:
    return pd.DataFrame(columns=COLUMNS[name].split())
