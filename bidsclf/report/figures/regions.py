"""Figures of regions, volumes and communities: how much, and how alike."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np

from bidsclf.report.figures._draw import (
    AWAY,
    BLUE,
    GREY,
    PALETTE,
    STYLE,
    axes_of,
    name_width,
    svg,
)


def shares(rows: Sequence[tuple[str, float, float]], alike: float, title: str) -> str:
    """Draw the share of each region as a bar, with its SD over folds.

    Parameters
    ----------
    rows : sequence of (region, share, SD), the largest first
        An SD of NaN is not drawn.
    alike : float
        What each would hold if all held the same; a line.
    title : str
    """
    names = [name for name, _, _ in rows]
    with mpl.rc_context(STYLE):
        width = 3.2 + name_width(names)
        figure, axes = axes_of(width, 1.0 + 0.26 * len(rows), left=name_width(names))
        place = np.arange(len(rows))[::-1]
        size = np.array([share for _, share, _ in rows])
        axes.barh(place, size, color=BLUE, height=0.66)
        spread = np.nan_to_num(np.array([sd for _, _, sd in rows], float))
        axes.errorbar(size, place, xerr=spread, fmt="none", color="black",
                      elinewidth=0.9)  # fmt: skip
        axes.axvline(alike, color=GREY, linewidth=0.9, linestyle="--")
        axes.set_yticks(place, names)
        axes.xaxis.set_major_formatter("{x:.1%}")
        axes.xaxis.get_major_locator().set_params(nbins=5)
        axes.set(xlim=(0, None), title=title)
        axes.set(xlabel="share; dashed: if all were alike")
        return svg(figure, title)


def over_volumes(
    volume: np.ndarray, share: np.ndarray, sd: np.ndarray, title: str
) -> str:
    """Draw the share of each volume of the window, with a band of one SD.

    Parameters
    ----------
    volume, share, sd : float arrays of shape (n_volumes,)
        An SD of NaN has no band.
    title : str
    """
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.6, 2.4)
        spread = np.nan_to_num(sd)
        axes.fill_between(volume, np.maximum(share - spread, 0), share + spread,
                          color=BLUE, alpha=0.16, linewidth=0)  # fmt: skip
        axes.plot(volume, share, color=BLUE, linewidth=1.8)
        axes.axhline(1 / max(volume.size, 1), color=GREY, linewidth=0.9,
                     linestyle="--")  # fmt: skip
        axes.yaxis.set_major_formatter("{x:.1%}")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="volume of the window; dashed: if all were alike")
        axes.set(ylim=(0, None), title=title)
        return svg(figure, title)


def sizes(counts: np.ndarray, compared: np.ndarray, title: str) -> str:
    """Draw how many regions communities have.

    Parameters
    ----------
    counts : float array of shape (n_communities,)
        Members of each community of each fold.
    compared : float array of shape (n_folds,)
        Mean size of PARAFAC's communities, a tick a fold; may be empty.
    title : str
    """
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.6, 2.6)
        most = max([1.0, *counts, *compared])
        step = max(1, round(most / 25))
        edges = np.arange(-0.5, most + step + 0.5, step)
        axes.hist(counts, bins=edges, color=BLUE, rwidth=0.9)
        top = axes.get_ylim()[1]
        axes.set_ylim(0, 1.18 * top)
        for size in compared:
            axes.plot([size, size], [1.04 * top, 1.16 * top], color=PALETTE[1],
                      linewidth=1.6)  # fmt: skip
        if len(compared):
            axes.annotate("PARAFAC, mean of a fold", (max(compared), 1.1 * top),
                          xytext=(AWAY, 0), textcoords="offset points", va="center",
                          color="#8a5f00", fontsize=8.5)  # fmt: skip
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="regions in a community", ylabel="communities", title=title)
        return svg(figure, title)


def robustness(panels: Mapping[str, Mapping[str, np.ndarray]], title: str) -> str:
    """Draw a dot a fold and the mean, method by method, a panel a measure.

    Parameters
    ----------
    panels : {measure: {method: float array of shape (n_folds,)}}
        The same methods in each panel; NaN is left out.
    title : str
    """
    methods = list(next(iter(panels.values())))
    with mpl.rc_context(STYLE):
        left = name_width(methods)
        width = left + 2.1 * len(panels) + 0.2
        figure, first = axes_of(width, 1.0 + 0.42 * len(methods), left=left)
        figure.delaxes(first)
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        place = np.arange(len(methods))[::-1]
        for axes, (measure, values) in zip(grid, panels.items(), strict=True):
            for at, method in zip(place, methods, strict=True):
                given = values[method][np.isfinite(values[method])]
                colour = PALETTE[1] if method == "PARAFAC" else BLUE
                axes.scatter(given, np.full(given.size, at), s=22, color=colour,
                             alpha=0.55, linewidths=0)  # fmt: skip
                if given.size:
                    axes.plot([given.mean()] * 2, [at - 0.28, at + 0.28],
                              color=colour, linewidth=1.8)  # fmt: skip
            axes.set(title=measure, ylim=(-0.6, len(methods) - 0.4))
            axes.xaxis.get_major_locator().set_params(nbins=4)
        grid[0].set_yticks(place, methods)
        return svg(figure, title)
