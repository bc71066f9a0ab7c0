"""What is fitted, and the model of one fit before it meets a training row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bidsclf.config import HarmonizeConfig
from bidsclf.folds import Fold
from bidsclf.models._base import Classifier, Variant, find


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is fitted.

    Attributes
    ----------
    variant : str
        As ``--models`` names it.
    seed : int
        Root of the run; the fit's own seed also depends on repeat, fold, variant.
    device : {'cpu', 'cuda'}
    harmonize : HarmonizeConfig
        Acts on models whose variant says where; the others run as they are.
    missing : str
        What becomes of people without a covariate, as ``--missing`` says.
    settings : mapping
        What is changed of the model, keywords of ``Variant.make``.
    source : rows of features or None
        Of people outside the study, whom a variant with ``source`` learns from
        before anyone else; no other variant is told of them.
    checkpoint : Path or None
        Folder of the checkpoints of one fit, for models that keep any.
    """

    variant: str
    seed: int = 0
    device: str = "cpu"
    harmonize: HarmonizeConfig = field(default_factory=HarmonizeConfig)
    missing: str = "error"
    settings: Mapping[str, Any] = field(default_factory=dict)
    source: Any = field(default=None, compare=False, repr=False)
    checkpoint: Path | None = field(default=None, compare=False)

    def seed_of(self, fold: Fold) -> int:
        """Return the seed of one fit; no other fit of the run shares it."""
        name = int.from_bytes(self.variant.encode(), "big")
        mixed = np.random.SeedSequence([self.seed, fold.repeat, fold.fold, name])
        return int(mixed.generate_state(1)[0]) & 0x7FFFFFFF


def is_harmonized(variant: str, how: HarmonizeConfig) -> bool:
    """Tell whether the rows of a model are harmonized before it sees them."""
    return how.method != "none" and find(variant).harmonize_at == "input"


def is_crossfitted(variant: str, how: HarmonizeConfig) -> bool:
    """Tell whether a model's embeddings are harmonized, and so are cross-fitted."""
    return how.method != "none" and find(variant).harmonize_at == "embedding"


def begun(
    variant: Variant, recipe: Recipe, fold: Fold, *, member: int = 0
) -> Classifier:
    """Return the model of one fit, which has learned from the source people at most.

    Parameters
    ----------
    variant : Variant
        The one that ``recipe`` names.
    recipe : Recipe
    fold : Fold
        Its number is part of the seed; its people are not looked at.
    member : int
        Of a model of several networks, which one, from 1; each has a seed and
        checkpoints of its own.
    """
    seed, kept = recipe.seed_of(fold), recipe.checkpoint
    name = f"{recipe.variant}, repeat {fold.repeat}, fold {fold.fold}"
    if member:
        mixed = np.random.SeedSequence([seed, member])
        seed = int(mixed.generate_state(1)[0]) & 0x7FFFFFFF
        kept = None if kept is None else kept / f"member-{member}"
        name += f", member {member}"
    model = variant.make(seed=seed, device=recipe.device, **recipe.settings)
    if kept is not None and hasattr(model, "keep_in"):
        model.keep_in(kept)
    if hasattr(model, "show_as"):
        model.show_as(name)
    if variant.source and recipe.source is not None:
        model.learn_from(recipe.source)  # type: ignore[attr-defined]
    return model
