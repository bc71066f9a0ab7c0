"""The predict level: a fitted model meets people it has never seen."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from bidsclf.cohort import Cohort, load_people
from bidsclf.config import CohortConfig, Config
from bidsclf.crossval import AnyFitted, load_bundle, score_people
from bidsclf.crossval.rows import is_beyond, split_traits
from bidsclf.errors import ConfigError, InputError, NothingMatched
from bidsclf.evaluate.metrics import THRESHOLD
from bidsclf.files import store
from bidsclf.files.choice import check_kind, read_like
from bidsclf.files.people import listed
from bidsclf.files.resampling import counted
from bidsclf.models._base import find, prepared
from bidsclf.models._rows import take
from bidsclf.workflows import _analysis, _covariates, _persons, _preflight, _run

LOG = logging.getLogger("bidsclf")
SEEN = (
    "the model was fitted on, or first taught by, this person (the same label in a"
    " dataset of the same Name, see dataset_description.json, or the same features); a"
    " score would say nothing."
)
LABEL = "Group on whose side of 0.5 the score lies; not a diagnosis"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """A model, the people it meets, their features, and whom it knows already.

    Attributes
    ----------
    bundle : Path
        Folder of the model.
    fitted : AnyFitted
        With the policy for unseen sites that was asked for.
    loaded : rows of features
        In the order of ``cohort.rows``.
    is_known : bool array of shape (n_people,)
    feature : dict
        What the bundle says of the features it was fitted on.
    """

    bundle: Path
    fitted: AnyFitted
    variant: str
    labels: dict[str, str]
    cohort: Cohort
    loaded: Any
    is_known: np.ndarray
    feature: dict[str, Any]

    @property
    def seen(self) -> list[str]:
        """Labels of the people that the model knows."""
        return self.cohort.people["participant_id"][self.is_known].tolist()


def run_predict(config: Config, *, command: str | None = None) -> int:
    """Score the people in OUT with the model of a bundle.

    People whom the model was fitted on are refused, each as a failed unit.

    Parameters
    ----------
    config : Config
        ``model`` is the folder of the bundle.
    command : str or None
        The command line, for the record.

    Returns
    -------
    int
        Exit code: 0 all predicted, 4 some refused.

    Raises
    ------
    ConfigError
        No model was given, or the analysis exists with other settings.
    InputError
        The features are not those of the model; the message lists the difference.
        Or the model harmonizes, and a site or a covariate is missing or unknown.
    NothingMatched
        The model was fitted on, or first taught by, everyone here.
    """
    config, task = _gather(config)
    folder = task.bundle
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    key = _analysis.key_of(config, task.cohort.people, files)
    is_done = _analysis.is_done(config, key, ["predictions.tsv"])
    if config.run.dry_run:
        _check_new(task)
        _run.show(_forecast(config, task, is_done=is_done))
        return 0
    with (
        _run.recorded(config, command) as run,
        threadpool_limits(config.run.omp_nthreads),
    ):
        ids = task.cohort.people["participant_id"]
        run.add(_run.Unit(unit=w, state="failed", message=SEEN) for w in task.seen)
        _check_new(task)
        outputs = () if is_done else _predict(run, task, key)
        state = "done before" if is_done else "done"
        new = sorted(set(ids) - set(task.seen))
        run.add(_run.Unit(unit=who, state=state, outputs=outputs) for who in new)
    return run.code


def _check_new(task: Task) -> None:
    """Refuse to predict where the model knows everyone."""
    if task.is_known.all():
        raise NothingMatched(
            f"the model in {task.bundle} was fitted on, or first taught by, all"
            f" {len(task.is_known)} people here: {listed(task.seen)}; it predicts only"
            " people it has never seen. Give --participant-label or another output"
            " folder."
        )


def _gather(config: Config) -> tuple[Config, Task]:
    """Load the model and the people, and check that they fit each other.

    The settings that come back read the features as the model's people were read.
    """
    if config.model is None:
        raise ConfigError(
            "predict needs --model, the folder of one fitted model, such as"
            " OUT/derivatives/main/models/fc-svm/final."
        )
    folder = config.model
    fitted, described = load_bundle(folder)
    fitted = _with_policy(fitted, config)
    variant, context = described["variant"], described["context"]
    seam = _analysis.seam(config)
    check_kind(seam, config.cohort, context["feature"])
    config = replace(config, cohort=_like(config.cohort, context, fitted))
    cohort = load_people(seam, config.cohort, [find(variant).input])
    cohort.check_like(context["feature"])
    _preflight.check_window_of(described, cohort)
    loaded = cohort.load(find(variant).input)
    is_known = _persons.seen(
        context["training"],
        _persons.person_digests(seam, cohort.people["participant_id"]),
        cohort.rows,
        _persons.feature_digests(loaded, context["feature"]),
    )
    return config, Task(
        bundle=folder,
        fitted=fitted,
        variant=variant,
        labels=context["labels"],
        cohort=cohort,
        loaded=loaded,
        is_known=is_known,
        feature=context["feature"],
    )


def _with_policy(fitted: AnyFitted, config: Config) -> AnyFitted:
    """Return the model with the policy for unseen sites that was asked for."""
    asked = config.harmonize
    if asked.method != "none":
        raise ConfigError(
            f"--harmonize {asked.method} is for the group level; predict harmonizes as"
            " the model was fitted. Leave it out."
        )
    if asked.unseen is None:
        return fitted
    if not fitted.harmonizers:
        raise ConfigError(
            f"--harmonize-unseen {asked.unseen} and the model was fitted without"
            " harmonization. Leave it out."
        )
    return fitted.with_policy(asked.unseen)


def _like(
    config: CohortConfig, context: dict[str, Any], fitted: AnyFitted
) -> CohortConfig:
    """Read the features that the model knows, unless others are asked for.

    Runs are joined, and covariates read, as the model's were; no target is read.
    """
    feature = context["feature"]
    named = {name.lower() for name in fitted.covariates}
    return replace(
        config,
        **read_like(config, feature),
        runs=context.get("runs", config.runs),
        resample_tr_s=feature.get("resample_tr_s"),
        covariates=fitted.covariates,
        target="" if config.target.lower() in named else config.target,
    )


def _forecast(config: Config, task: Task, *, is_done: bool) -> list[str]:
    """Return the lines of ``--dry-run``."""
    state, everyone = "done before" if is_done else "to do", task.cohort.people
    seen = set(task.seen)
    lines = [f"{w}: {state}" for w in everyone["participant_id"] if w not in seen]
    if seen:
        lines.insert(0, f"{len(seen)} of {len(everyone)} are refused: {listed(seen)}")
        lines.insert(1, f"  {SEEN}")
    return [*lines, f"  {_analysis.folder_of(config) / 'predictions.tsv'}"]


def _predict(run: _run.Run, task: Task, key: str) -> tuple[str, ...]:
    """Score the people whom the model does not know, and write the table."""
    people, rows = task.cohort.people, task.cohort.rows
    asked = np.isin(rows, new := np.flatnonzero(~task.is_known))
    x = prepared(task.variant, take(task.loaded, np.flatnonzero(asked)))
    scores, probabilities, harmonized = _score(
        task, x, np.searchsorted(new, rows[asked]), new
    )
    run.notes += [*_beyond(task, new), *_other_clock(task)]
    for note in run.notes:
        LOG.warning("%s", note)
    table = people[["participant_id", "site"]].iloc[new]
    table = table.assign(
        model=task.variant,
        score=scores,
        probability=probabilities,
        harmonized=harmonized,
        label=[task.labels[str(int(score >= THRESHOLD))] for score in scores],
    )
    about = _analysis.about(run, key, task.labels)
    folder = _analysis.open_folder(run.config, about)
    path = _analysis.write_table(folder / "predictions.tsv", table, {"label": LABEL})
    about |= {"model": str(run.config.model), "refused": task.seen}
    about |= {"finished": _run.now().isoformat(), "n_people": len(table)}
    store.write_json(folder / _analysis.ABOUT, about)
    return (str(path),)


def _score(
    task: Task, x: Any, rows: np.ndarray, new: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return score_people's answer; an error names who lacks what."""
    traits = None
    if task.fitted.harmonizers:
        traits = task.cohort.traits.iloc[new].reset_index(drop=True)
    try:
        return score_people(task.fitted, x, rows, len(new), traits)
    except InputError as error:
        ids = task.cohort.people["participant_id"].iloc[new]
        raise InputError(f"{error}{_lacking(ids, traits)}") from error


def _beyond(task: Task, new: np.ndarray) -> list[str]:
    """Return a note on people outside the ages, or the like, of the training set."""
    fitted, traits = task.fitted, task.cohort.traits.iloc[new]
    if not fitted.harmonizers:
        return []
    known = split_traits(traits[["site", *fitted.covariates]])
    which = new[is_beyond(fitted.harmonizers, *known)]
    ids = task.cohort.people["participant_id"].iloc[which]
    return [_covariates.outside(ids)] if len(ids) else []


def _other_clock(task: Task) -> list[str]:
    """Return a note on repetition times that a model which sees order never met."""
    known = task.feature.get("repetition_times_s")
    if known is None or not find(task.variant).sees_order:
        return []
    others = {*counted(task.cohort.repetition_times(task.feature["input"]))} - {*known}
    if not others:
        return []
    is_series = task.feature["input"] == "timeseries"
    cure = "; a model fitted with --resample-tr brings all to its own"
    return [
        f"{task.variant} sees the order of volumes, and some scans have a repetition"
        f" time of {_seconds(others)}; the model was fitted on {_seconds(known)}."
        f" What it learned of time may not hold for them{cure if is_series else ''}."
    ]


def _seconds(times: Iterable[float]) -> str:
    return ", ".join(f"{tr_s:g} s" for tr_s in sorted(times)) or "unknown ones"


def _lacking(ids: pd.Series, traits: pd.DataFrame | None) -> str:
    """Return a sentence on the people without a site or a covariate, if any."""
    if traits is None:
        return ""
    lacks = traits.isna().any(axis=1).to_numpy()
    shown = [
        f"{who} ({', '.join(traits.columns[traits.iloc[at].isna()])})"
        for at, who in zip(np.flatnonzero(lacks), ids[lacks], strict=True)
    ]
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return f" Without a value: {', '.join(shown[:5])}{more}." if shown else ""
