"""Whether training people can be dealt into the parts that cross-fitting needs."""

import numpy as np
import pandas as pd

from bidsclf.cohort import Cohort
from bidsclf.config import Config
from bidsclf.crossval import LEAST, N_PARTS, is_crossfitted
from bidsclf.errors import InputError
from bidsclf.files.people import listed
from bidsclf.folds import Fold
from bidsclf.models._base import find


def check(config: Config, cohort: Cohort, fold: Fold, name: str) -> None:
    """Refuse sites too small for the parts of a fold, before anything is fitted.

    The people alone are counted: families that stay together, or runs that are the
    same, may need more, which the fit says.

    Parameters
    ----------
    config : Config
    cohort : Cohort
    fold : Fold
    name : str
        Of the fold, in a message.

    Raises
    ------
    InputError
        The sites, how many people each has to learn from, and what to do.
    """
    how, policy = config.harmonize, config.harmonize.unseen or "refuse"
    models = [m for m in config.analysis.models if is_crossfitted(m, how)]
    if not models or policy == "identity":
        return
    learn = fold.train
    if not any(find(model).needs_valid for model in models):
        learn = np.concatenate([fold.train, fold.valid])
    sites = cohort.people["site"].astype(str)
    counts = sites.iloc[np.unique(learn)].value_counts().sort_index()
    if policy == "refuse":
        tested = sorted(set(sites.iloc[fold.test]) | set(counts.index))
        counts = counts.reindex(tested, fill_value=0)
    small = counts[counts < LEAST * N_PARTS]
    if len(small):
        raise InputError(
            f"{name}: {_sizes(small)} to learn from, and --harmonize {how.method} of"
            f" the embeddings of {', '.join(models)} learns in {N_PARTS} parts of the"
            f" training people, those that stop the training apart: it needs"
            f" {LEAST * N_PARTS} or more a site. Leave the site out with --include,"
            " give --harmonize-unseen identity, use fewer folds, or use --harmonize"
            " none."
        )


def _sizes(counts: pd.Series) -> str:
    return listed([f"{n} at {site}" for site, n in counts.items()])
