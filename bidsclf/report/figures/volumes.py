"""Figures of volumes and maps: what a network is shown, slice by slice."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bidsclf.report.figures._draw import STYLE, svg

SLICES = 8
WIDTH = 7.5  # inches
LEFT, RIGHT, TOP, LINE, BELOW = 0.1, 0.75, 0.3, 0.28, 0.25  # inches
WIDE = (WIDTH - LEFT - RIGHT) / SLICES
EDGES = (0.08, 0.92)  # shares of the brain's height: the lowest and the highest slice
FAINT = 0.05  # share of the largest value below which a map is left white; ours
SHOWN = (0.01, 0.99)  # quantiles of the values in the brain that colours span


def volumes(values: np.ndarray, cell_mm: np.ndarray, heights_mm: np.ndarray) -> str:
    """Draw axial slices of one volume, and how much each cell varies over time.

    Parameters
    ----------
    values : float array of shape (T, X, Y, Z)
        x to the right, y to the front, z up; 0 outside the brain.
    cell_mm : float array of shape (3,)
    heights_mm : float array of shape (Z,)
        z of each slice.
    """
    shown = {"one volume, from the middle of those taken": values[len(values) // 2]}
    if len(values) > 1:
        shown["standard deviation over the volumes taken"] = values.std(axis=0)
    with mpl.rc_context(STYLE):
        figure = _figure(
            shown, values.any(axis=0), cell_mm, heights_mm, "What is kept of the brain"
        )
        return svg(figure, "Axial slices of the volumes on the small grid")


def greymatter(values: np.ndarray, cell_mm: np.ndarray, heights_mm: np.ndarray) -> str:
    """Draw axial slices of a grey-matter map of shape (X, Y, Z), as of ``volumes``."""
    with mpl.rc_context(STYLE):
        figure = _figure(
            {"in each cell; darker is more": values},
            values > FAINT * values.max(),
            cell_mm,
            heights_mm,
            "Grey matter",
            cmaps=("gray_r",),
        )
        return svg(figure, "Axial slices of the grey-matter map on the cube")


def _figure(
    shown: Mapping[str, np.ndarray],
    brain: np.ndarray,
    cell_mm: np.ndarray,
    heights_mm: np.ndarray,
    title: str,
    cmaps: tuple[str, ...] = ("gray", "inferno"),
) -> Figure:
    """Draw a row of slices of each (X, Y, Z) volume, with its words above."""
    held = np.flatnonzero(brain.any(axis=(0, 1)))
    ends = held[0] + np.array(EDGES) * (held[-1] - held[0])
    which = np.linspace(*ends, SLICES).round().astype(int)
    tall = WIDE * brain.shape[1] * cell_mm[1] / (brain.shape[0] * cell_mm[0])
    height = TOP + len(shown) * (tall + LINE) + BELOW
    figure = Figure(figsize=(WIDTH, height))
    figure.suptitle(title, x=LEFT / WIDTH, ha="left", y=1 - 0.05 / height, va="top",
                    fontsize=11)  # fmt: skip
    for row, (words, volume) in enumerate(shown.items()):
        bottom = height - TOP - (row + 1) * (tall + LINE)
        in_brain = np.where(brain, volume, np.nan)[:, :, which]
        axes = _row(figure, in_brain, bottom, tall, cmaps[row])
        place = LEFT / WIDTH, (bottom + tall + 0.07) / height
        figure.text(*place, words, fontsize=9)
    for one, mm in zip(axes, heights_mm[which], strict=True):
        one.text(0.5, -0.02, f"z {mm:.0f} mm", va="top", ha="center", fontsize=8,
                 transform=one.transAxes)  # fmt: skip
    return figure


def _row(
    figure: Figure, slices: np.ndarray, bottom: float, tall: float, cmap: str
) -> list[Axes]:
    """Draw (X, Y, n) slices side by side, and what their colours stand for."""
    width, height = figure.get_size_inches()
    low, high = np.nanquantile(slices, SHOWN)
    drawn = []
    for column, values in enumerate(np.moveaxis(slices, 2, 0)):
        box = np.array([LEFT + column * WIDE, bottom, WIDE, tall])
        axes = figure.add_axes(tuple(box / [width, height, width, height]))
        image = axes.imshow(values.T, origin="lower", vmin=low, vmax=high, cmap=cmap,
                            aspect="auto", interpolation="nearest")  # fmt: skip
        axes.set_axis_off()
        drawn.append(axes)
    box = np.array([width - RIGHT + 0.12, bottom + 0.1, 0.1, tall - 0.2])
    bar = figure.add_axes(tuple(box / [width, height, width, height]))
    figure.colorbar(image, cax=bar).ax.tick_params(labelsize=8)
    return drawn
