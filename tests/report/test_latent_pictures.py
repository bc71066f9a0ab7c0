"""Pictures of latent spaces: the colours of people and of images."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from bidsclf.report import figures, kinds


def analysis_of(cells: dict, site_column: str) -> SimpleNamespace:
    """Return what ``kinds.planes`` reads of an analysis, and one trait of people."""
    [(name, given)] = cells.items()
    who = [f"sub-{number}" for number in range(len(given))]
    rows = {"model": "m", "space": "latent", "participant_id": who, "trait": name}
    plane = pd.DataFrame(rows | {c: 0.0 for way in kinds.WAYS.values() for c in way})
    rsa = pd.DataFrame(rows | {"fit": "everyone", "tau": 0.1, "p": 0.5})
    return SimpleNamespace(
        table={"plane": plane, "rsa": rsa}.get,
        tables={"plane": plane, "rsa": rsa},
        kept=pd.DataFrame({"participant_id": who, name: given}),
        part=lambda _: {"site_column": site_column},
    )


@pytest.mark.parametrize(
    ("cells", "words", "codes"),
    [
        ({"drug": ["-999", "b", " a", None, "b "]}, ("a", "b"), [None, 1, 0, None, 1]),
        ({"sex": ["-9999", "F", "M"]}, ("F", "M"), [None, 0, 1]),
        ({"scanner": [7, 5, -999, 7]}, ("5", "7"), [1, 0, None, 1]),
        ({"iq": [7, 5, -999, 7]}, (), [7, 5, None, 7]),
    ],
    ids=str,
)
def test_the_legend_names_the_colours_of_people(monkeypatch, cells, words, codes):
    drawn = []
    monkeypatch.setattr(figures, "planes", lambda *given: drawn.append(given) or "")
    kinds.planes(analysis_of(cells, "scanner"), "m")
    [(_, shown)] = drawn
    assert shown.words == words
    np.testing.assert_array_equal(shown.values, np.array(codes, float))


@pytest.mark.parametrize("sign", [1, -1, 0])
def test_a_difference_has_its_own_colours_and_never_the_scale_of_maps(
    monkeypatch, sign
):
    drawn, own = [], Axes.imshow
    monkeypatch.setattr(
        Axes, "imshow", lambda *a, **more: drawn.append(more) or own(*a, **more)
    )
    ball = (np.linalg.norm(np.indices((12, 12, 12)).T - 5.5, axis=-1) < 5) * 1.0
    noisy = np.where(ball > 0, ball, -0.01)  # a map that is below 0 is a map
    images = {"whole": 0.5 * ball, "made": noisy / 4, "added": 3.0 * sign * ball}
    figures.changes(images, np.ones(3), np.arange(12.0), signed={"added"})
    told = [(more["cmap"], more["vmin"], more["vmax"]) for more in drawn]
    most = 3.0 if sign else 1.0
    assert told == [("gray", 0, 0.5), ("gray", 0, 0.5), ("RdBu_r", -most, most)]
