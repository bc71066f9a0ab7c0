"""Where people lie in latent spaces, and what images lose without a part of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bidsclf.crossval import FitResult
from bidsclf.crossval.rows import rows_of
from bidsclf.folds import Fold
from bidsclf.interpret.latent import SALIENT
from bidsclf.models._rows import take
from bidsclf.workflows import _shared
from bidsclf.workflows._jobs import Job

EVERYONE, CROSSFITTED = "everyone", "crossfitted"
OF = {True: CROSSFITTED, False: EVERYONE}  # Job.is_test -> the fit it belongs to
BATCH = 8  # people decoded at once; ours
PATIENT, CONTROL = "patient", "control"
PLACES = {PATIENT: (0.1, 0.5, 0.9), CONTROL: (0.5,)}  # quantiles of who is shown; ours
Arrays = dict[str, np.ndarray]
Images = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """People whose images a model makes.

    Attributes
    ----------
    name : {'patient', 'control'}
    people : int array of shape (n_people,)
    latents : {space: float32 array of shape (n_people, d)}
    x, rows : rows of images, and the person of each
    """

    name: str
    people: np.ndarray
    latents: Arrays
    x: Any
    rows: np.ndarray

    def original(self, at: int) -> np.ndarray:
        """Return the image of one of them, the mean over rows, (X, Y, Z)."""
        own = take(self.x, rows_of(self.people[[at]], self.rows))
        return np.mean([np.asarray(one)[0] for one in own], axis=0)

    def images(self, model: Any, which: np.ndarray) -> Images:
        """Return original, reconstruction and more of some, each (n, X, Y, Z)."""
        own = {space: latent[which] for space, latent in self.latents.items()}
        made = {"original": np.stack([self.original(at) for at in which])}
        if SALIENT not in own:
            return made | {"reconstruction": model.decode(own)}
        whole, plain = model.decode(own), model.decode(own, with_salient=False)
        if self.name == PATIENT:
            made |= {"reconstruction": whole, "twin": plain}
        else:
            made |= {"reconstruction": plain, "synthetic": whole}
        return made | {"difference": whole - plain}


def look(job: Job, found: FitResult, x: Any, shared: dict[str, Any]) -> Arrays:
    """Return latents of people, and sums of images that a model makes of them.

    Of a fold of repeat 1 the tested people, whom the network has not learned from;
    of the final model everyone. Where several networks vote, these are of the first.

    Parameters
    ----------
    job : Job
    found : FitResult
    x : rows of images
    shared : dict
        See ``_shared.share``.

    Returns
    -------
    arrays : dict
        ``people``, ``networks``, ``latent-SPACE``; of each group ``GROUP-n``, and of
        each image ``GROUP-sum-IMAGE``, ``GROUP-square-difference`` and, of the final
        model, ``GROUP-shown`` (people) with ``GROUP-shown-IMAGE``. Nothing for another
        repeat.
    """
    fold, rows = _shared.fold_of(shared, job.number), np.array(shared["rows"])
    if job.is_test and fold.repeat != 1:
        return {}
    people = np.unique(fold.test if job.is_test else _learned(fold))
    model: Any = found.model
    which = rows_of(people, rows)
    latents = {
        space: _means(latent, rows[which], people)
        for space, latent in model.latents(take(x, which)).items()
    }
    arrays: Arrays = {"people": people, "networks": np.array(len(found.fitted.models))}
    arrays |= {f"latent-{space}": latent for space, latent in latents.items()}
    y = np.array(shared["y"])[people]
    for group in _groups(people, y, latents, x, rows):
        arrays |= _told(model, group, is_shown=not job.is_test)
    return arrays


def _learned(fold: Fold) -> np.ndarray:
    return np.concatenate([fold.train, fold.valid])


def _means(values: np.ndarray, owners: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return the mean of each person's rows, float32 of shape (n_people, d)."""
    each = [values[owners == person].mean(axis=0) for person in people]
    return np.asarray(each, np.float32)


def _groups(
    people: np.ndarray, y: np.ndarray, latents: Arrays, x: Any, rows: np.ndarray
) -> Iterator[_Group]:
    """Yield patients, and controls with the mean salient latents of these patients."""
    of_patients = {space: latent[y == 1] for space, latent in latents.items()}
    yield _Group(PATIENT, people[y == 1], of_patients, x, rows)
    if SALIENT in latents and (y == 1).any():
        given = {space: latent[y == 0] for space, latent in latents.items()}
        mean = of_patients[SALIENT].mean(axis=0)
        given[SALIENT] = np.broadcast_to(mean, given[SALIENT].shape).copy()
        yield _Group(CONTROL, people[y == 0], given, x, rows)


def _told(model: Any, group: _Group, *, is_shown: bool) -> Arrays:
    """Return sums over a group, and of some of its people all images."""
    n = len(group.people)
    sums: Arrays = {}
    sizes = []
    for start in range(0, n, BATCH):
        made = group.images(model, np.arange(start, min(start + BATCH, n)))
        apart = made.get("difference", made["original"] - made["reconstruction"])
        sizes.append(np.sqrt((apart.astype(float) ** 2).sum(axis=(1, 2, 3))))
        added = {f"sum-{name}": image.sum(axis=0) for name, image in made.items()}
        if "difference" in made:
            added["square-difference"] = (apart.astype(float) ** 2).sum(axis=0)
        for name, image in added.items():
            sums[name] = sums.get(name, 0) + image.astype(float)
    if is_shown and n:
        order = np.argsort(np.concatenate(sizes), kind="stable")
        which = order[[round(share * (n - 1)) for share in PLACES[group.name]]]
        sums["shown"] = group.people[which]
        made = group.images(model, which)
        sums |= {f"shown-{name}": image for name, image in made.items()}
    told = {"n": np.array(n)} | sums
    return {f"{group.name}-{name}": values for name, values in told.items()}


def part(shared: dict[str, Any], job: Job, arrays: Arrays) -> pd.DataFrame:
    """Return the rows of latents.tsv of one fit, from what ``look`` returned."""
    people = arrays["people"]
    fold = _shared.fold_of(shared, job.number).fold if job.is_test else 0
    who = pd.DataFrame(
        {
            "model": job.model,
            "fit": OF[job.is_test],
            "fold": fold,
            "participant_id": [shared["participant_id"][at] for at in people],
            "label": [shared["labels"][str(shared["y"][at])] for at in people],
        }
    )
    return who.join(_columns(arrays))


def _columns(arrays: Arrays) -> pd.DataFrame:
    found = {
        f"{space}_{number:02d}": arrays[f"latent-{space}"][:, number - 1]
        for space in spaces(arrays)
        for number in range(1, arrays[f"latent-{space}"].shape[1] + 1)
    }
    return pd.DataFrame(found)


def spaces(arrays: Arrays) -> list[str]:
    """Return the names of the latent spaces of a fit."""
    names = [name for name in arrays if name.startswith("latent-")]
    return [name.removeprefix("latent-") for name in names]
