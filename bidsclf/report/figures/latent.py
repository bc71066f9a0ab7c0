"""Figures of latent spaces: what lies in them, how many kinds, and what they draw."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bidsclf.report.figures._draw import (
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    STYLE,
    axes_of,
    name_width,
    svg,
)

INKS = {"salient": ORANGE, "background": BLUE, "latent": BLUE}
APART = 0.16  # of a line, between the dots of two spaces
SLICES = 7
LEFT, RIGHT, TOP, LINE, WIDE = 0.1, 0.85, 0.3, 0.28, 1.0  # inches
EDGES = (0.12, 0.88)  # shares of the brain's height: the lowest and the highest slice
SHOWN = 0.995  # quantile of the values that colours reach


class Dot(NamedTuple):
    """How much of a trait lies in a space; ``is_sure`` fills the dot."""

    trait: str
    space: str
    value: float
    is_sure: bool


def traits(panels: Mapping[str, Sequence[Dot]], xlabel: str) -> str:
    """Draw a line a trait, a dot a space, a panel a fit.

    Parameters
    ----------
    panels : {title: sequence of Dot}
    xlabel : str
    """
    names = list(dict.fromkeys(dot.trait for dots in panels.values() for dot in dots))
    place = {name: at for at, name in enumerate(reversed(names))}
    left = name_width(names)
    with mpl.rc_context(STYLE):
        width = left + 2.9 * len(panels) + 0.2
        figure, first = axes_of(width, 1.15 + 0.3 * len(names), left=left)
        figure.delaxes(first)
        grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)
        for axes, (title, dots) in zip(grid[0], panels.items(), strict=True):
            _dots(axes, dots, place)
            axes.set(title=title, xlabel=xlabel, ylim=(-0.6, len(names) - 0.4))
        grid[0][0].set_yticks(list(place.values()), list(place))
        return svg(figure, "How much of each trait lies in each latent space")


def _dots(axes: Axes, dots: Sequence[Dot], place: Mapping[str, int]) -> None:
    axes.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
    spaces = list(dict.fromkeys(dot.space for dot in dots))
    for dot in dots:
        up = APART * (len(spaces) - 1 - 2 * spaces.index(dot.space))
        ink, at = INKS.get(dot.space, GREY), place[dot.trait] + up
        axes.plot([0, dot.value], [at, at], color=ink, linewidth=1.2, alpha=0.6)
        axes.plot(dot.value, at, "o", color=ink, markersize=6.5,
                  markerfacecolor=ink if dot.is_sure else "white")  # fmt: skip
    axes.tick_params(axis="y", length=0)
    axes.xaxis.get_major_locator().set_params(nbins=5)


def kinds(curves: Mapping[str, tuple[np.ndarray, np.ndarray, int]]) -> str:
    """Draw BIC above its least against the number of kinds, a panel a space.

    Parameters
    ----------
    curves : {space: (components, BIC, best)}
        The first two of shape (n,): the least BIC over shapes of each number.
    """
    with mpl.rc_context(STYLE):
        figure, first = axes_of(3.3 * len(curves) + 0.4, 2.5)
        figure.delaxes(first)
        grid = figure.subplots(1, len(curves), squeeze=False)[0]
        for axes, (space, (number, bic, best)) in zip(
            grid, curves.items(), strict=True
        ):
            ink, above = INKS.get(space, GREY), bic - bic.min()
            axes.plot(number, above, "o-", color=ink, markersize=4)
            axes.plot(best, above[number == best][0], "o", color=ink, markersize=11,
                      markerfacecolor="none", markeredgewidth=1.8)  # fmt: skip
            axes.set(title=f"{space}: {best} is best", xlabel="components")
            axes.set_xticks(number)
        grid[0].set_ylabel("BIC above the least")
        return svg(figure, "BIC of Gaussian mixtures by their number of components")


class Shown(NamedTuple):
    """What colours people: a number each, or a code of ``words``; NaN where unknown."""

    name: str
    values: np.ndarray
    words: tuple[str, ...] = ()


def planes(rows: Mapping[str, Mapping[str, np.ndarray]], by: Shown) -> str:
    """Draw people on planes: a row a space, a column a way to draw.

    Parameters
    ----------
    rows : {space: {way: float array of shape (n_people, 2)}}
    by : Shown
    """
    ways = list(next(iter(rows.values())))
    with mpl.rc_context(STYLE):
        size = 2.9 * len(ways) + 1.6, 2.75 * len(rows) + 0.2
        figure, first = axes_of(*size, left=0.3, right=1.5)
        figure.delaxes(first)
        grid = figure.subplots(len(rows), len(ways), squeeze=False)
        for line, (space, panels) in zip(grid, rows.items(), strict=True):
            for axes, (way, points) in zip(line, panels.items(), strict=True):
                drawn = _points(axes, points, by)
                axes.set(xticks=[], yticks=[], title=f"{space}: {way}")
        figure.subplots_adjust(bottom=0.03, wspace=0.12, hspace=0.2)
        if by.words:
            figure.legend(*grid[0][0].get_legend_handles_labels(), title=by.name,
                          loc="center right", fontsize=8.5)  # fmt: skip
        else:
            bar = figure.add_axes((1 - 1.2 / size[0], 0.3, 0.12 / size[0], 0.4))
            figure.colorbar(drawn, cax=bar).ax.set_title(by.name, fontsize=9.5)
        return svg(figure, f"Patients in latent spaces, coloured by {by.name}")


def _points(axes: Axes, points: np.ndarray, by: Shown) -> object:
    """Draw people of one plane; who is not known is grey and below."""
    unknown = np.isnan(by.values)
    axes.scatter(*points[unknown].T, s=12, color="#cccccc", linewidths=0)
    if not by.words:
        return axes.scatter(*points[~unknown].T, s=15, c=by.values[~unknown],
                            cmap="viridis", linewidths=0)  # fmt: skip
    for code, word in enumerate(by.words):
        own = points[by.values == code]
        axes.scatter(*own.T, s=15, color=PALETTE[code % len(PALETTE)], alpha=0.8,
                     linewidths=0, label=word)  # fmt: skip
    return None


def changes(
    images: Mapping[str, np.ndarray],
    cell_mm: np.ndarray,
    heights_mm: np.ndarray,
    *,
    signed: Collection[str] = (),
) -> str:
    """Draw axial slices of images, and of differences in two colours around 0.

    Parameters
    ----------
    images : {title: float array of shape (X, Y, Z)}
        x to the right, y to the front, z up. Drawn in grey, on one scale, but
        for those in ``signed``. The first is a brain.
    cell_mm : float array of shape (3,)
    heights_mm : float array of shape (Z,)
        z of each slice.
    signed : collection of str
        Titles of differences.
    """
    brain = next(iter(images.values()))
    inside = brain > 0.1 * brain.max()
    held = np.flatnonzero(inside.any(axis=(0, 1)))
    ends = held[0] + np.array(EDGES) * (held[-1] - held[0])
    which = np.linspace(*ends, SLICES).round().astype(int)
    box = tuple(slice(max(at.min() - 1, 0), at.max() + 2)
                for at in np.nonzero(inside)[:2])  # fmt: skip
    across, along = (brain[box].shape[:2] * np.asarray(cell_mm)[:2]).tolist()
    tall = WIDE * along / across
    width, height = LEFT + SLICES * WIDE + RIGHT, len(images) * (tall + LINE) + TOP
    maps = [one for title, one in images.items() if title not in signed]
    grey = max((float(np.quantile(one, SHOWN)) for one in maps), default=1.0)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        for row, (title, image) in enumerate(images.items()):
            bottom = height - (row + 1) * (tall + LINE)
            at = LEFT / width, (bottom + tall + 0.07) / height
            figure.text(*at, title, fontsize=9)
            strip = np.concatenate(np.moveaxis(image[box][:, :, which], 2, 0))
            most = None if title in signed else grey
            axes = _strip(figure, strip, (bottom, tall), most)
        for column, mm in enumerate(heights_mm[which]):
            axes.text((column + 0.5) / SLICES, -0.02, f"z {mm:.0f} mm", va="top",
                      ha="center", fontsize=8, transform=axes.transAxes)  # fmt: skip
        return svg(figure, "Slices of images that a model made")


def _strip(
    figure: Figure, strip: np.ndarray, line: tuple[float, float], grey: float | None
) -> Axes:
    """Draw slices (X of all, Y) in a line, and what their colours stand for.

    They reach from 0 to ``grey``; without it they are two, around 0.
    """
    (width, height), (bottom, tall) = figure.get_size_inches(), line
    least, most, colours, unit = 0.0, grey, "gray", [width, height, width, height]
    if most is None:
        most = float(np.quantile(np.abs(strip), SHOWN)) or 1.0
        least, colours = -most, "RdBu_r"
    axes = figure.add_axes(tuple(np.array([LEFT, bottom, SLICES * WIDE, tall]) / unit))
    image = axes.imshow(strip.T, origin="lower", vmin=least, vmax=most,
                        cmap=colours, aspect="auto",
                        interpolation="nearest")  # fmt: skip
    axes.set_axis_off()
    box = np.array([width - RIGHT + 0.12, bottom + 0.1, 0.1, tall - 0.2])
    bar = figure.add_axes(tuple(box / unit))
    figure.colorbar(image, cax=bar).ax.tick_params(labelsize=8)
    return axes
