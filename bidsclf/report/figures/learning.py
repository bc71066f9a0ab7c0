"""Figures of training: what every epoch gave, over the fits of a model."""

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bidsclf.report.figures._draw import BLUE, GREY, ORANGE, STYLE, svg

COLUMNS = 3  # panels beside each other
PANEL = (2.45, 1.75)  # inches
COLOURS = {"training": BLUE, "validation": ORANGE}


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """One measure over epochs: the mean of the fits and their range.

    Attributes
    ----------
    epoch : float array of shape (n_epochs,)
    mean, low, high : float arrays of shape (n_epochs,)
        NaN where nothing was measured.
    """

    epoch: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def learning(
    panels: Mapping[str, Mapping[str, Course]], kept: np.ndarray, title: str
) -> str:
    """Draw learning curves, a panel a measure.

    Parameters
    ----------
    panels : {measure: {'training' or 'validation': Course}}
    kept : float array of shape (n_fits,)
        The epoch whose weights each fit kept; a tick each.
    title : str
    """
    n_rows = -(-len(panels) // COLUMNS)
    width, height = 0.2 + COLUMNS * PANEL[0], 0.55 + n_rows * PANEL[1]
    with mpl.rc_context(STYLE | {"font.size": 8.5, "axes.titlesize": 9.5}):
        figure = Figure(figsize=(width, height))
        figure.subplots_adjust(left=0.45 / width, right=1 - 0.1 / width,
                               bottom=0.42 / height, top=1 - 0.55 / height,
                               wspace=0.3, hspace=0.75)  # fmt: skip
        grid = figure.subplots(n_rows, COLUMNS, squeeze=False).ravel()
        for axes, (measure, courses) in zip(grid, panels.items(), strict=False):
            _panel(axes, courses, kept)
            axes.set_title(measure)
        for axes in grid[len(panels) :]:
            figure.delaxes(axes)
        top = 1 - 0.17 / height
        figure.text(0.01, top, title, va="center", fontweight="bold", fontsize=10)
        handles = [Line2D([], [], color=c, label=name) for name, c in COLOURS.items()]
        handles.append(Line2D([], [], color=GREY, linestyle="", marker="|",
                              markersize=8, label="epoch kept by a fit"))  # fmt: skip
        figure.legend(handles=handles, loc="center right", ncols=3, fontsize=8.5,
                      bbox_to_anchor=(1, top))  # fmt: skip
        return svg(figure, f"Learning curves of {title}")


def _panel(axes: Axes, courses: Mapping[str, Course], kept: np.ndarray) -> None:
    for name, course in courses.items():
        colour = COLOURS[name]
        axes.fill_between(course.epoch, course.low, course.high, color=colour,
                          alpha=0.16, linewidth=0)  # fmt: skip
        dot = "o" if course.epoch.size == 1 else ""
        axes.plot(course.epoch, course.mean, color=colour, linewidth=1.6, marker=dot,
                  markersize=4)  # fmt: skip
    axes.plot(kept, np.zeros(kept.size), linestyle="", marker="|", markersize=9,
              color=GREY, clip_on=False,
              transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set_xlabel("epoch", labelpad=1)
    axes.xaxis.get_major_locator().set_params(integer=True)
