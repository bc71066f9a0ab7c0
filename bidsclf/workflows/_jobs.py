"""What is to be done: a job a fit, a permuted fit, a screening."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.config import Config, HarmonizeConfig, RunConfig
from bidsclf.crossval import N_PARTS, is_crossfitted, is_harmonized, names_of
from bidsclf.files import store
from bidsclf.folds import Fold
from bidsclf.models._base import find, prepare_key
from bidsclf.models._chunks import CACHE
from bidsclf.models._device import device_of
from bidsclf.workflows import _analysis

FIT_GB = 1.0  # a fit reads its rows from a disk; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """All that a worker needs for one unit of work.

    Attributes
    ----------
    unit : str
    kind : {'fit', 'permute', 'screen', 'tensor'}
        One fit; one fit a permutation of the labels; how well an input tells sites;
        communities of training people without a model.
    model : str
        As ``--models`` names it; of a screening, one that takes the input.
    number : int
        Which of the folds that ``share`` wrote; -1 for a screening.
    seed : int
    device : str
    bundle : str
        Folder of the fitted model; empty where it is not kept.
    members : int
        Networks of a model whose embeddings are harmonized; 0 of any other.
    cache : int
        Bytes of images that may be kept in memory.
    """

    unit: str
    kind: str = "fit"
    model: str
    number: int = -1
    seed: int
    device: str = "cpu"
    bundle: str = ""
    members: int = 0
    cache: int = CACHE

    @property
    def is_test(self) -> bool:
        """Whether its scores are of people who were not learned from."""
        return self.kind == "fit" and not self.unit.endswith("_final")

    def is_first(self, fold: Fold) -> bool:
        """Whether it is of a fold, its own, of the first repeat."""
        return fold.repeat == 1 and (self.is_test or self.kind == "tensor")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableJob:
    """All that a worker needs to make tables.

    Attributes
    ----------
    name : str
        A key of ``_tables.OUTPUTS``.
    work, analysis : str
        Folders.
    n_bootstrap, n_permutations, seed : int
        See the settings.
    jobs : list of Job
        Those that were done.
    """

    name: str
    work: str
    analysis: str
    n_bootstrap: int
    n_permutations: int
    seed: int
    jobs: list[Job]

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "TableJob":
        """Return the job that ``asdict`` made plain."""
        return cls(**plain | {"jobs": [Job(**job) for job in plain["jobs"]]})

    def read(self, name: str) -> pd.DataFrame:
        """Return a table of the analysis, as a reviewer reads it."""
        return store.read_table(Path(self.analysis, f"{name}.tsv"), text=_analysis.TEXT)

    def of_kind(self, kind: str) -> list[Job]:
        """Return the jobs of one kind."""
        return [job for job in self.jobs if job.kind == kind]


def plan(config: Config, folds: list[Fold], *, is_screened: bool) -> list[Job]:
    """Return the screenings, a fit for each model and fold and one on everyone.

    Where refits are asked for, also one job a model and fold of repeat 1 for all
    permutations of the labels. Where a model has communities, also one job a fold
    of repeat 1 for those that need no model.
    """
    jobs = _screenings(config) if is_screened else []
    for model in config.analysis.models:
        jobs += _fits_of(config, folds, model)
    jobs += _tensors(config, folds)
    if config.analysis.n_refit_permutations:
        jobs += [
            Job(
                unit=f"{job.unit}_permute",
                kind="permute",
                model=job.model,
                number=job.number,
                seed=job.seed,
                device=job.device,
                members=job.members,
            )
            for job in jobs
            if job.is_test and folds[job.number].repeat == 1
        ]
    return [replace(job, cache=cache_of(config.run)) for job in jobs]


def cache_of(settings: RunConfig) -> int:
    """Return how many bytes of images a process may keep: its share of ``--mem``.

    What a fit needs beside comes first; a little is always kept, since what is in
    nobody's memory is read again and again.

    Examples
    --------
    >>> cache_of(RunConfig(mem_gb=9, nprocs=2)) / 1e9
    3.5
    """
    if settings.mem_gb is None:
        return CACHE
    return max(CACHE, int((settings.mem_gb / settings.nprocs - FIT_GB) * 1e9))


def _screenings(config: Config) -> list[Job]:
    """Return a job for each input that a harmonizer could change."""
    firsts: dict[str, str] = {}
    for model in config.analysis.models:
        if find(model).harmonize_at == "input":
            firsts.setdefault(prepare_key(model), model)
    seed = config.folds.seed
    return [
        Job(unit=f"screen-{key}", kind="screen", model=model, seed=seed)
        for key, model in firsts.items()
    ]


def _tensors(config: Config, folds: list[Fold]) -> list[Job]:
    """Return a job a fold for communities to compare with those of the first model."""
    having = [m for m in config.analysis.models if "communities" in find(m).explained]
    if not having or config.folds.scheme == "bootstrap":
        return []
    return [
        Job(
            unit=f"parafac_{_fold_name(fold, n_repeats=1)}",
            kind="tensor",
            model=having[0],
            number=number,
            seed=config.folds.seed,
        )
        for number, fold in enumerate(folds)
        if fold.repeat == 1
    ]


def _fits_of(config: Config, folds: list[Fold], model: str) -> list[Job]:
    folder = _analysis.folder_of(config).absolute() / "models" / model
    n_repeats = max(fold.repeat for fold in folds)
    names = [*(_fold_name(fold, n_repeats) for fold in folds), "final"]
    kept = names if config.folds.scheme != "bootstrap" else ["final"]
    members = N_PARTS if is_crossfitted(model, config.harmonize) else 0
    return [
        Job(
            unit=f"{model}_{name}",
            model=model,
            number=number,
            seed=config.folds.seed,
            device=device_of(model, config.analysis.device),
            bundle=str(folder / name) if name in kept else "",
            members=members,
        )
        for number, name in enumerate(names)
    ]


def _fold_name(fold: Fold, n_repeats: int) -> str:
    repeat = f"repeat-{fold.repeat:02d}_" if n_repeats > 1 else ""
    return f"{repeat}fold-{fold.fold:02d}"


def bundles(jobs: Iterable[Job], how: HarmonizeConfig) -> list[str]:
    """Return the files of all models that are kept, relative to the analysis."""
    found = []
    for job in (job for job in jobs if job.bundle):
        folder = Path(*Path(job.bundle).parts[-3:])
        names = names_of(
            is_harmonized=is_harmonized(job.model, how), n_members=job.members
        )
        found += [str(folder / name) for name in names]
    return found
