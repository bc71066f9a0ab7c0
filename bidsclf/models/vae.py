"""A plain autoencoder of grey-matter maps, to hold the contrastive one against."""

from typing import Any

from bidsclf.models._codec import Layers
from bidsclf.models._contrast import Contrast, Terms
from bidsclf.models._latents import map_variant, part_of


def plain(size: int, *, n_latent: int, beta: float, **settings: Any) -> Contrast:
    """Return the network for maps of a size: background latents alone, of everyone.

    Batches and the sum over both classes are those of ``cvae``.
    """
    layers, terms = part_of(Layers, settings), Terms(beta=beta, gamma=0)
    return Contrast(size, layers, terms, n_background=n_latent, n_salient=0, **settings)


VARIANTS = {"vae": map_variant(plain, n_latent=32, beta=1.0)}
