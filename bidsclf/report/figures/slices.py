"""Figures of maps: slices through a place, on the brain of the template.

Nilearn is imported where it is needed: it takes seconds, and few pages have a map.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from nibabel.nifti1 import Nifti1Image

from bidsclf.report.figures._draw import STYLE, svg

SIZE = (6.6, 2.7)  # inches
BELOW = (0.0, 0.0, 0.88, 0.88)  # of the figure: under the title, left of numbers
SHOWN = 0.9  # share of the brain's voxels that are not coloured; ours


def slices(
    values: np.ndarray,
    affine: np.ndarray,
    at: Sequence[float],
    title: str,
    *,
    on_template: bool = True,
    has_sides: bool = True,
) -> str:
    """Draw the tenth of a map's voxels with most, in three slices through a place.

    Parameters
    ----------
    values : float array of shape (X, Y, Z)
        0 or more, not 0 everywhere; 0 outside the brain.
    affine : float array of shape (4, 4)
        Voxels to mm.
    at : x, y, z
        mm.
    title : str
    on_template : bool
        Whether the map is in MNI space, whose template then lies under it.
    has_sides : bool
        Whether it is known where left and right are.
    """
    from nilearn.plotting.displays import OrthoSlicer

    limit = float(np.quantile(values[values > 0], SHOWN))
    cuts = tuple(round(one) for one in at)  # nilearn's labels leave out decimals
    image = Nifti1Image(values.astype(np.float32), affine)
    under = _template() if on_template else Nifti1Image(_outline(values), affine)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE)
        view = OrthoSlicer.init_with_figure(
            img=under, figure=figure, axes=BELOW, cut_coords=cuts, black_bg=False
        )
        view.add_overlay(under, cmap="gray", vmin=0, vmax=1.2)
        view.add_overlay(image, threshold=limit, vmin=0, cmap="inferno", colorbar=True)
        figure.axes[-1].yaxis.tick_right()  # numbers of the bar: not into the slices
        view.annotate(size=8, left_right=has_sides)
        figure.suptitle(title, x=0.01, y=0.99, ha="left", va="top", fontsize=10)
        return svg(figure, title)


def _template() -> Any:
    from nilearn.datasets import load_mni152_template

    return load_mni152_template(resolution=2)


def _outline(values: np.ndarray) -> np.ndarray:
    """Return the brain of a map in grey, for a space of which there is no picture."""
    return np.where(values > 0, 0.9, 0).astype(np.float32)
