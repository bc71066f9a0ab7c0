"""A contrastive autoencoder of grey-matter maps: what patients have, controls not."""

from dataclasses import asdict
from typing import Any

from bidsclf.models._codec import Layers
from bidsclf.models._contrast import Contrast, Terms
from bidsclf.models._latents import map_variant, part_of


def contrast(size: int, **settings: Any) -> Contrast:
    """Return the network for maps of a size."""
    layers, terms = part_of(Layers, settings), part_of(Terms, settings)
    return Contrast(size, layers, terms, **settings)


OURS = asdict(Layers()) | asdict(Terms())
PUBLISHED = {
    "n_epochs": 100,
    "width": 64,
    "pool": 0,
    "gamma": 100.0,
    "correlation": "published",
    "controls_first": 0.0,
}
LATENTS = {"n_background": 16, "n_salient": 16}
VARIANTS = {
    "cvae": map_variant(contrast, **OURS | LATENTS),
    "cvae-published": map_variant(contrast, **OURS | PUBLISHED | LATENTS),
}
