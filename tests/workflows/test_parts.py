"""How many people of a site the parts of a cross-fitted network need."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bidsclf.config import AnalysisConfig, Config, HarmonizeConfig
from bidsclf.errors import InputError
from bidsclf.folds import Fold
from bidsclf.workflows._parts import LEAST, N_PARTS, check


@pytest.mark.parametrize(
    ("models", "is_refused"),
    [(("cvae",), False), (("cnn3d",), True), (("cvae", "cnn3d"), True)],
)
def test_the_network_that_learns_from_fewest_rules_how_many_a_site_needs(
    models, is_refused
):
    """One that stops early holds people out; the count is of those who are left."""
    n = LEAST * N_PARTS
    people = pd.DataFrame({"site": ["A"] * n + ["B"] * n})
    config = replace(
        Config(bids_dir=Path(), output_dir=Path(), level="group"),
        harmonize=HarmonizeConfig(method="combat"),
        analysis=AnalysisConfig(models=models),
    )
    everyone = np.arange(2 * n)
    fold = Fold(1, 1, everyone[1:], everyone[:1], np.empty(0, int))  # 1 of A held out
    refused = pytest.raises(InputError, match=f"fold: {n - 1} at A to learn from")
    with refused if is_refused else nullcontext():
        check(config, SimpleNamespace(people=people), fold, "fold")
