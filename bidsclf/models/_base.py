"""What crossval sees of a model, and how one is found by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bidsclf.errors import ConfigError
from bidsclf.options import did_you_mean, load, names

PACKAGE = "bidsclf.models"


class Classifier(Protocol):
    """The one contract of every model.

    ``x`` is whatever ``prepare`` returned, or a part of it: anything with
    ``len`` that takes an integer array, ``x[rows]``. All randomness comes from
    the ``seed`` given when the model was made.

    A model may offer more methods:

    ``held_out() -> (logits, truth) or None``: of training rows, what a fit said
    that had not seen them, and the truth, both of shape (n,). Scores are
    calibrated on them; without it they stay as they are.

    ``null_scores(x, learn, test, labels, people) -> scores or None``: the whole
    fit for each row of ``labels`` (m, len(x)) on the rows ``learn``, which may
    repeat, with the scores (m, n_test_rows) of the rows ``test``; ``people``
    numbers all rows. None where it has no faster way than ``fit``.

    ``keep_in(folder)``, called before all else: the fit may keep what it has learned
    so far in this folder, and go on from what is there if that is of the same fit.

    ``show_as(name)``: the fit may show how it goes under this name on a terminal.

    ``embed(x) -> embedded``: what the last layer reads of each row, float32 of shape
    (n, d), of a variant whose ``harmonize_at`` is 'embedding'.

    ``of_sites(sites)``, called once before ``fit``: the site of each row that ``fit``
    will get, an object array of shape (n,) that may hold NaN; None where no site is
    known. Not for scores: a site is no feature.

    ``latents(x) -> {name: float32 (n, d)}`` and ``decode(latents, *, with_salient=True)
    -> float32 (n, N, N, N)``, of a variant that is explained by 'latent': where each
    row lies in the model's spaces, and the maps of such places, in the input's unit.

    ``learn_from(x)``, asked of a variant with ``source``: called once before
    ``fit`` with the rows of people outside the study, of whom no label is told.
    """

    def fit(
        self,
        x: Any,
        y: np.ndarray,
        valid: tuple[Any, np.ndarray] | None = None,
        people: np.ndarray | None = None,
    ) -> Any:
        """Learn from training rows; ``valid`` is for early stopping only.

        ``people`` numbers the person of each row, or the family; inner folds keep
        their rows together. Rows may repeat, as a bootstrap draws them.
        """

    def predict_score(self, x: Any) -> np.ndarray:
        """Return the score of class 1 in [0, 1], float64 of shape (n,)."""

    def notes(self) -> dict[str, Any]:
        """Return what the fit chose, as JSON values."""

    def save(self, folder: Path) -> dict[str, Any]:
        """Write ``model.safetensors`` and return JSON values for model.json."""

    def load(self, folder: Path, settings: dict[str, Any]) -> Any:
        """Restore from ``save``; ``settings`` is what it returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One member of a family.

    Attributes
    ----------
    input : str
        What the cohort loads: 'timeseries', 'fisherz', 'partialcorrelation',
        'covariance', 'volume', 'graymatter', 'phenotype', 'motion' or 'site'.
    make : callable
        ``make(seed=0, device="cpu", **settings)`` returns an unfitted Classifier,
        or raises ConfigError for a setting out of range.
    prepare : callable or None
        ``prepare(x)``: work done once for all folds; it learns nothing.
    needs_valid : bool
        Whether the training stops early; if not, the validation part is learned
        from as well, so that no model throws people away.
    harmonize_at : {'input', 'embedding', None}
        Whether ``--harmonize`` acts on the rows before the model sees them, or on
        what its last layer reads; None for a model that it has no meaning for, which
        runs as it is.
    settings : mapping
        Names and default values of what ``--model-settings`` may change: true or
        false, whole numbers, numbers, words, or a tuple of whole numbers.
    choices : mapping
        Of a setting that is a word: all the words it takes.
    source : bool
        Whether it can learn first from people outside the study (``--source``).
    sees_order : bool
        Whether the order of volumes, and so the repetition time, means something
        to it.
    explained : tuple of {'pattern', 'gradient', 'volume', 'communities', 'latent'}
        How what it looks at is shown: the pattern of a linear model of edges, the
        gradients of a network, the maps of a network of volumes, the communities of
        one that generates volumes, the spaces of one that generates maps.
    """

    input: str
    make: Callable[..., Classifier]
    prepare: Callable[[Any], Any] | None = None
    needs_valid: bool = False
    harmonize_at: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    source: bool = False
    sees_order: bool = False
    explained: tuple[str, ...] = ()


def prepared(option: str, loaded: Any) -> Any:
    """Return what a model takes of what the cohort loaded."""
    prepare = find(option).prepare
    return loaded if prepare is None else prepare(loaded)


def prepare_key(option: str) -> str:
    """Return a folder name that models share if they share their prepared rows.

    Examples
    --------
    >>> prepare_key("fc-svm") == prepare_key("fc-logistic")
    True
    """
    variant = find(option)
    how = getattr(variant.prepare, "__name__", "asis").strip("_")
    return f"{variant.input}-{how.replace('_', '')}"


def variants() -> dict[str, Variant]:
    """Return every member of every family, sorted; imports the families."""
    found: dict[str, Variant] = {}
    for family in names(PACKAGE):
        found |= load(PACKAGE, family).VARIANTS
    return dict(sorted(found.items()))


def find(option: str) -> Variant:
    """Return the variant that ``--models`` names.

    Raises
    ------
    ConfigError
        The family or the member is unknown; the nearest one is proposed.
    """
    members = load(PACKAGE, option).VARIANTS
    if option not in members:
        raise ConfigError(
            f"no model {option!r}; there are: {', '.join(members)}."
            f"{did_you_mean(option, list(members))}"
        )
    return members[option]
