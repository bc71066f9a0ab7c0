"""Figures of sites: whether features tell where a person was scanned."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.lines import Line2D

from bidsclf.report.figures._draw import (
    AWAY,
    BLUE,
    GREY,
    PALETTE,
    RED,
    STYLE,
    axes_of,
    name_width,
    svg,
)

MARKS = "osD^vPX*"
NAMED = 30  # sites in a legend, at most; ours


def predictability(
    rows: Sequence[tuple[str, float, float, float]], chance: float
) -> str:
    """Draw how often the site is told from the features, before and after.

    Parameters
    ----------
    rows : sequence of (label, accuracy, low, high)
        The label ends in ``before`` or ``after``.
    chance : float
        Accuracy of always naming the largest site.
    """
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(
            7.0, 1.0 + 0.42 * len(rows), left=name_width(row[0] for row in rows)
        )
        axes.axvline(chance, color=RED, linewidth=1.2, linestyle="--")
        axes.annotate("always naming the largest site", (chance, len(rows) - 0.42),
                      color=RED, fontsize=8.5, va="bottom", xytext=(AWAY, 0),
                      textcoords="offset points")  # fmt: skip
        for place, (label, accuracy, low, high) in enumerate(reversed(rows)):
            colour = GREY if label.endswith("before") else BLUE
            axes.plot([low, high], [place, place], color=colour, linewidth=2.5)
            axes.plot(accuracy, place, "o", color=colour, markersize=7)
            said = axes.text(min(high + 0.015, 1.0), place, f"{accuracy:.0%}",
                             va="center")  # fmt: skip
            said.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
        axes.set_yticks(range(len(rows)), [row[0] for row in reversed(rows)])
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.set(xlim=(0, 1.07), ylim=(-0.6, len(rows) - 0.1))
        axes.set(xlabel="people whose site is named rightly")
        return svg(figure, "Accuracy of naming the site from features")


def site_map(
    panels: Sequence[tuple[str, np.ndarray]], sites: Sequence[np.ndarray]
) -> str:
    """Draw people on two principal components, a colour and a shape a site.

    Parameters
    ----------
    panels : sequence of (title, float array of shape (n_people, 2))
    sites : sequence of str arrays of shape (n_people,), one a panel
    """
    names = sorted({str(name) for panel in sites for name in panel})
    with mpl.rc_context(STYLE):
        figure, first = axes_of(4.0 * len(panels) + 1.9, 3.9, right=2.0)
        figure.delaxes(first)
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, points), of in zip(grid, panels, sites, strict=True):
            for place, name in enumerate(names):
                here = points[np.asarray(of).astype(str) == name]
                axes.scatter(here[:, 0], here[:, 1], s=15, alpha=0.75, linewidths=0,
                             color=PALETTE[place % len(PALETTE)],
                             marker=_mark(place))  # fmt: skip
            axes.set(xlabel="component 1", ylabel="component 2", title=title)
            axes.set(xticks=[], yticks=[])
        if len(names) <= NAMED:
            figure.legend(handles=_keys(names), loc="center right", fontsize=8,
                          ncols=1 + (len(names) > 16))  # fmt: skip
        return svg(figure, "People on two principal components, coloured by site")


def _mark(place: int) -> str:
    return MARKS[place // len(PALETTE) % len(MARKS)]


def _keys(names: Sequence[str]) -> list[Line2D]:
    return [
        Line2D(
            [],
            [],
            linestyle="",
            label=name,
            marker=_mark(place),
            markersize=5,
            color=PALETTE[place % len(PALETTE)],
        )
        for place, name in enumerate(names)
    ]
