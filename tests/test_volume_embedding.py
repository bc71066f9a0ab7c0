"""Networks of volumes, cross-fitted, with their embeddings harmonized."""

import numpy as np
import pandas as pd
import pytest

from bidsclf.config import HarmonizeConfig
from bidsclf.crossval import Recipe, fit_fold, load_bundle, save_bundle, score_people
from bidsclf.folds import Fold
from bidsclf.models._base import find, prepared
from bidsclf.models._rows import take

N = 24
SMALL = {"n_epochs": 1, "width": 4}
Y = np.arange(N) % 2
SITE = np.array(["A", "A", "B", "B"] * (N // 4), object)
FOLD = Fold(1, 1, np.arange(16), np.arange(16, 20), np.arange(20, 24))


@pytest.fixture(scope="module")
def scans():
    """Two sites whose signal differs in size; patients have a brighter corner."""
    rng = np.random.default_rng(0)
    made = []
    for y, site in zip(Y, SITE, strict=True):
        scan = rng.normal(1, 0.1, size=(3, 8, 8, 8)).astype(np.float32)
        scan[:, :4, :4, :4] += 0.5 * y
        made.append(scan * (1.3 if site == "B" else 1))
    return made


@pytest.mark.parametrize(
    "model", ["cnnlstm", pytest.param("resnet3d-a-bilstm", marks=pytest.mark.slow)]
)
def test_members_are_kept_whole_and_say_the_same_elsewhere(model, scans, tmp_path):
    known = find(model).settings
    settings = {k: v for k, v in SMALL.items() if k in known}
    if known.get("n_steps"):
        settings["n_steps"] = 3
    recipe = Recipe(
        variant=model,
        harmonize=HarmonizeConfig(method="combat"),
        settings=settings,
    )
    x, traits = prepared(model, scans), pd.DataFrame({"site": SITE})
    result = fit_fold(x, Y, np.arange(N), FOLD, recipe, traits=traits)
    assert result.before.shape == result.scores.shape == (4,)
    assert len(result.fitted.models) == 3
    assert all(one["history"] for one in result.notes["members"])
    save_bundle(tmp_path, result.fitted, variant=model, context={}, made_with=settings)
    loaded, _ = load_bundle(tmp_path)
    test = take(x, FOLD.test)
    own = traits.iloc[FOLD.test].reset_index(drop=True)
    scores, told, _ = score_people(loaded, test, np.arange(4), 4, own)
    np.testing.assert_allclose(scores, result.scores, rtol=1e-6)
    np.testing.assert_allclose(told, result.probabilities, rtol=1e-6)
