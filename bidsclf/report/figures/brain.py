"""Figures of the brain: regions and edges seen through glass.

Nilearn is imported where it is needed: it takes seconds, and few pages have a brain.
"""

import re
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from bidsclf.report.figures._draw import BLUE, GREY, RED, STYLE, svg

SIZE = (6.6, 2.55)  # inches
BELOW = (0.0, 0.0, 1.0, 0.89)  # of the figure: the brains, under the title
AREA = (6.0, 90.0)  # points squared, of the smallest and the largest region
OUTLINE = re.compile(r' d="[^"]*"')
NUMBER = re.compile(r"\d+\.\d{2,}")


def brain(
    points: np.ndarray, values: np.ndarray, title: str, *, n_coloured: int | None = None
) -> str:
    """Draw regions as dots in a glass brain: from the left, above and the right.

    Parameters
    ----------
    points : float array of shape (n_regions, 3)
        mm, MNI; finite.
    values : float array of shape (n_regions,)
        The area of a dot is in proportion to the size of its value; those above 0
        are orange, those below 0 blue.
    title : str
    n_coloured : int or None
        The regions from this one on are grey and small; None colours all.
    """
    colours = [_colour(value) for value in values]
    areas = _areas(values)
    if n_coloured is not None:
        colours[n_coloured:] = [GREY] * len(colours[n_coloured:])
        areas[n_coloured:] = AREA[0]
    with mpl.rc_context(STYLE):
        figure, view = _glass(title)
        view.add_markers(
            points,
            marker_color=colours,
            marker_size=areas.tolist(),
            alpha=0.75,
            linewidths=0,
        )
        _turn(view)
        return _shorter(svg(figure, title))


def connectome(points: np.ndarray, edges: np.ndarray, title: str) -> str:
    """Draw edges in a glass brain.

    Parameters
    ----------
    points : float array of shape (n_regions, 3)
        mm, MNI, of regions that have an edge; all finite.
    edges : float array of shape (n_regions, n_regions)
        Symmetric; edges of 0 are not drawn. Orange above 0, blue below.
    title : str
    """
    most = float(np.abs(edges).max()) or 1.0
    with mpl.rc_context(STYLE):
        figure, view = _glass(title)
        view.add_graph(
            edges,
            points,
            node_color="#444444",
            node_size=14,
            edge_cmap=_map(),
            edge_vmin=-most,
            edge_vmax=most,
            edge_kwargs={"linewidth": 1.6, "alpha": 0.9},
            node_kwargs={"linewidths": 0},
        )
        _turn(view)
        return _shorter(svg(figure, title))


def _glass(title: str) -> tuple[Figure, Any]:
    from nilearn.plotting.displays import LZRProjector

    figure = Figure(figsize=SIZE)
    view = LZRProjector.init_with_figure(img=None, figure=figure, axes=BELOW)
    figure.suptitle(title, x=0.01, y=0.99, ha="left", va="top", fontsize=10)
    return figure, view


def _turn(view: Any) -> None:
    """Let the left side look to the left, which Nilearn does for lines only."""
    left = view.axes["l"].ax
    if not left.xaxis_inverted():
        left.invert_xaxis()


def _map() -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([BLUE] * 128 + [RED] * 128)


def _colour(value: float) -> str:
    return RED if value >= 0 else BLUE


def _areas(values: np.ndarray) -> np.ndarray:
    """Return the areas of dots, the largest value's the largest.

    Examples
    --------
    >>> _areas(np.array([-1.0, 0.5, 0.0]))
    array([90., 45.,  6.])
    """
    share = np.abs(values) / (float(np.abs(values).max()) or 1.0)
    return np.maximum(AREA[0], AREA[1] * share)


def _shorter(drawn: str) -> str:
    """Round the coordinates of the outlines, which are most of the file.

    Examples
    --------
    >>> _shorter('<path d="M 12.3456 7" opacity="0.75"/>')
    '<path d="M 12.3 7" opacity="0.75"/>'
    """
    return OUTLINE.sub(lambda path: NUMBER.sub(_rounded, path[0]), drawn)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}"
