"""Autoencoders of maps as classifiers: pairs, sites, latents and a linear head."""

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from bidsclf.errors import ConfigError, FitError, InputError
from bidsclf.models._base import Variant
from bidsclf.models._checkpoint import Checkpoint
from bidsclf.models._classifier import TorchClassifier
from bidsclf.models._codec import Layers
from bidsclf.models._contrast import CORRELATIONS, MATCHED, Contrast
from bidsclf.models._head import LinearHead
from bidsclf.models._independence import FEWEST
from bidsclf.models._pairs import MIXED, PAIRINGS, SAME_SITE, Paired, is_alone
from bidsclf.models._rows import row_digests, take
from bidsclf.models._training import LAST, PRECISIONS, Part, Training, settings_of
from bidsclf.models._volumes import Volumes

SALIENT, BACKGROUND, LATENT = "salient", "background", "latent"
UNUSED = ("patience", "monitor", "per_person")  # settings that change nothing here
SAME = 1e-7  # of the largest value: an SD that is rounding; ours
TRAINING = Training(n_epochs=300, weight_decay=0.0, monitor=LAST)


class ContrastClassifier(TorchClassifier):
    """A contrastive autoencoder, with a linear classifier of its latents.

    Every batch holds as many patients as controls. Maps are divided by the largest
    value of the training rows. The linear head is learned from the training rows'
    latents when the network has learned; it knows embeddings of people to whom the
    network was fitted, so that its scores of others are less sure than they look.

    Parameters
    ----------
    network, training, seed, device, settings
        As of ``TorchClassifier``.

    References
    ----------
    Aglinskas, Hartshorne & Anzellotti 2022, doi:10.1126/science.abm2461, and the
    project "CVAE-based ADHD neuroimaging analysis", which follows it:
    ``cvae-published`` is their network and loss. Departures: epochs of everyone instead
    of 100 batches; the scale is learned from training rows, where theirs let values
    exceed what a sigmoid gives; latents are means, not draws. The default is a small
    network with another loss: see ``Contrast`` and ``Terms``.
    """

    def __init__(
        self, network: Callable[..., Contrast], training: Training, **settings: Any
    ) -> None:
        super().__init__(network, training, **settings)
        if self.training.batch_size % 2:
            raise ConfigError(
                f"batch_size is {self.training.batch_size}; a batch is of as many"
                " patients as controls, so that it takes an even number."
            )
        if self._is_matched() and self.training.batch_size < 2 * FEWEST:
            raise ConfigError(
                f"batch_size is {self.training.batch_size}; correlation=matched needs"
                f" {FEWEST} patients or more in a batch, that is {2 * FEWEST} people."
                " Give more, or take gamma=0 to leave it out."
            )
        self.is_of_site = self.settings["batches"] == SAME_SITE
        self.given: np.ndarray | None = None  # sites, as the rows came
        self.sites: np.ndarray | None = None  # in the order of the fit
        self.alone: list[str] = []
        self.few: list[str] = []

    def of_sites(self, sites: np.ndarray | None) -> None:
        """Take the site of each row that ``fit`` will get, None where none is known."""
        self.given = None if sites is None else np.asarray(sites, object)

    def fit(
        self,
        x: Any,
        y: np.ndarray,
        valid: tuple[Any, np.ndarray] | None = None,
        people: np.ndarray | None = None,
    ) -> "ContrastClassifier":
        """Learn; the weights of the last epoch are kept, and a head is fitted.

        Raises
        ------
        FitError
            A class is missing, a loss is not finite, or all training maps are 0.
        ConfigError
            Batches are of one site each and no site is known.
        """
        is_known = self.given is not None and not pd.isna(self.given).all()
        if self.is_of_site and not is_known:
            raise ConfigError(
                "batches is 'same-site' and the sites of the training people are"
                " not known. Check --site-column, or take batches=mixed."
            )
        if not is_known:
            self.given = None
        super().fit(x, y, valid, people)
        return self

    def latents(self, x: Any) -> dict[str, np.ndarray]:
        """Return the means of the latents of each row.

        Returns
        -------
        latents : dict of float32 arrays of shape (n, d)
            'salient' and 'background', or 'latent' of a plain autoencoder.
        """
        network = self.network
        n = network.n_background
        if len(x):
            exactly = replace(self.training, precision="float32")
            made = self._said(network.latents, self.samples(x), exactly).numpy()
        else:
            made = np.empty((0, n + network.n_salient), np.float32)
        if not network.n_salient:
            return {LATENT: made}
        return {SALIENT: made[:, n:], BACKGROUND: made[:, :n]}

    def decode(
        self, latents: dict[str, np.ndarray], *, with_salient: bool = True
    ) -> np.ndarray:
        """Return the maps that latents stand for.

        Parameters
        ----------
        latents : dict of arrays of shape (n, d)
            As ``latents`` returns them.
        with_salient : bool
            Whether the salient ones count, or are 0 as a control's are.

        Returns
        -------
        maps : float32 array of shape (n, N, N, N)
            In the unit of the input.

        Raises
        ------
        InputError
            Latents are missing, or of another length than the network's.
        """
        joined = self._joined(latents, with_salient=with_salient)
        size = self.training.batch_size
        parts = [joined[at : at + size] for at in range(0, len(joined), size)]
        self.network.eval()
        with torch.inference_mode():
            made = [self.network.decode(one.to(self.device)).cpu() for one in parts]
        if not made:
            return np.empty((0, *(self.width,) * 3), np.float32)
        maps: np.ndarray = torch.cat(made).numpy()
        return maps

    def notes(self) -> dict[str, Any]:
        """Return as others do, and which sites' people were taken together.

        And which sites have too few patients for the ``dependence`` of their latents,
        which is 0 in their batches.
        """
        told = super().notes() | {"scale": float(self.network.scale)}
        if self.is_of_site:
            told["sites_in_mixed_batches"] = self.alone
        if self.is_of_site and self._is_matched():
            told["sites_without_dependence"] = self.few
        return told

    def load(self, folder: Any, settings: dict[str, Any]) -> "ContrastClassifier":
        """Restore a saved model."""
        super().load(folder, settings)
        self.is_of_site = self.settings["batches"] == SAME_SITE
        self.alone = settings.get("sites_in_mixed_batches", [])
        self.few = settings.get("sites_without_dependence", [])
        return self

    def _is_matched(self) -> bool:
        given = self.settings
        return given.get("correlation") == MATCHED and given["gamma"] > 0

    def _begin(self, x: Any, y: np.ndarray) -> None:
        self.sites = None if self.given is None else self.given[self.order]
        if self.sites is not None:
            self._note_sites(x, y, self.sites)
        self.samples(x)  # refuses maps of another shape before they are read
        largest, squares, total = 0.0, 0.0, np.zeros(x.shape)
        for one in x:
            largest = max(largest, float(np.max(one)))
            total += one[0]
            squares += np.square(one[0], dtype=np.float64).mean()
        mean = total / len(x)
        spread = float(np.sqrt(max(0, squares / len(x) - np.square(mean).mean())))
        if not (0 < largest < np.inf and spread > SAME * largest):
            raise FitError(
                f"the largest value of the {len(y)} training maps is {largest}, and"
                f" they differ by {spread:.1e} (SD); both above 0 and finite are"
                " expected. Look at the maps of the participant level, or extract"
                " them again."
            )
        n, share = self.training.n_epochs, self.network.terms.controls_first
        n_first = min(round(share * n), n - 1) * self._paired(x).n_batches(y)
        self.network.start(largest, torch.from_numpy(mean), spread, n_first)

    def _parts(
        self, x: Any, y: np.ndarray, valid: tuple[Any, np.ndarray] | None
    ) -> tuple[Part, Part | None]:
        train, stop = super()._parts(x, y, valid)
        return train._replace(samples=self._paired(x)), stop

    def _paired(self, x: Any) -> Paired:
        of_site = self.sites if self.is_of_site else None
        n_pairs = self.training.batch_size // 2
        return Paired(x, self.width, n_pairs, of_site, told=self.sites)

    def _note_sites(self, x: Any, y: np.ndarray, sites: np.ndarray) -> None:
        """Keep which sites have too little for batches of their own."""
        if not self.is_of_site:
            return
        alone = sites[is_alone(sites, y)]
        self.few = _with_few(x, y, sites)
        names = np.where(pd.isna(alone), "unknown", alone)
        self.alone = sorted({str(name) for name in names})

    def _finish(self, x: Any, y: np.ndarray) -> None:
        head = LinearHead().fit(self.embed(x), y)
        for name, array in head.arrays().items():
            getattr(self.network, f"head_{name}").copy_(torch.from_numpy(array))

    def _checkpoint(self, phase: str) -> Checkpoint | None:
        made = super()._checkpoint(phase)
        if made is None or self.sites is None:
            return made
        settings = self.settings | {"sites": self.sites.astype(str).tolist()}
        return Checkpoint(path=made.path, rows=made.rows, settings=settings)

    def _joined(
        self, latents: dict[str, np.ndarray], *, with_salient: bool
    ) -> torch.Tensor:
        network = self.network
        wanted = {LATENT: network.n_background}
        if network.n_salient:
            wanted = {BACKGROUND: network.n_background, SALIENT: network.n_salient}
        found = {name: np.shape(one) for name, one in latents.items()}
        n = len(next(iter(latents.values()), ()))
        if found != {name: (n, d) for name, d in wanted.items()}:
            raise InputError(
                f"latents of the shapes {found}; expected n people with"
                f" {' and '.join(f'{d} {name}' for name, d in wanted.items())} each,"
                " as this model's latents returns."
            )
        if not (with_salient or network.n_salient):
            raise InputError(
                "a plain autoencoder has no salient latents to leave out. Take cvae."
            )
        arrays = [np.asarray(latents[name], np.float32) for name in wanted]
        if not with_salient:
            arrays[1] = np.zeros_like(arrays[1])
        return torch.from_numpy(np.concatenate(arrays, axis=1))


def _with_few(x: Any, y: np.ndarray, sites: np.ndarray) -> list[str]:
    """Return sites of both classes with too few different patients."""
    is_told = (y == 1) & ~is_alone(sites, y)
    seen = pd.Series(row_digests(take(x, np.flatnonzero(is_told))), dtype=object)
    n = seen.groupby(sites[is_told].astype(str)).nunique()
    return sorted(n.index[n < FEWEST])


def map_variant(network: Callable[..., Contrast], **own: Any) -> Variant:
    """Return a variant; ``own`` are the settings of its network.

    It learns for all its epochs from everyone who is learned from: nobody is held out.
    """
    given = asdict(Layers()) | own | {"batches": MIXED}
    choices = {"precision": PRECISIONS, "batches": PAIRINGS}
    if "correlation" in own:
        choices["correlation"] = CORRELATIONS
    known = settings_of(TRAINING, **given)
    return Variant(
        input="graymatter",
        prepare=Volumes.of,
        make=partial(ContrastClassifier, network, TRAINING, **given),
        harmonize_at="embedding",
        settings={k: value for k, value in known.items() if k not in UNUSED},
        choices=choices,
        explained=("latent",),
    )


def part_of(kind: Any, settings: dict[str, Any]) -> Any:
    """Return a part of the network's settings, which are taken out of the rest."""
    named = [field.name for field in fields(kind) if field.name in settings]
    return kind(**{name: settings.pop(name) for name in named})
