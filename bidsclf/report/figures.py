"""Figures: arrays in, SVG text out; nothing is read from disk."""

import io
import re
from collections.abc import Iterable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bidsclf.report.page import is_control

# Okabe and Ito's palette, told apart by colour-blind readers (2008, jfly.uni-koeln.de)
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", RED, "#8C6D31", "#666666")
GREY = "#888888"
STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.hashsalt": "bidsclf",  # same numbers, same file
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud
}


def _axes(
    width: float, height: float, *, left: float = 0.75, right: float = 0.15
) -> tuple[Figure, Axes]:
    """Return axes with margins in inches, four times faster than a layout engine."""
    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=0.5 / height,
        top=1 - 0.3 / height,
    )
    return figure, figure.subplots()


def _name_width(names: Iterable[str]) -> float:
    return 0.25 + 0.085 * max((len(name) for name in names), default=0)  # inches


def svg(figure: Figure, alt: str) -> str:
    """Return a figure as an SVG element that a screen reader can name."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    element = stream.getvalue()
    element = element[element.index("<svg") :]
    element = re.sub(r'(<svg [^>]*?)width="[^"]*"', r"\1", element, count=1)
    element = re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", element, count=1)
    label = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return element.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def motion(
    fd: np.ndarray, kept: np.ndarray, *, n_dummies: int, threshold_mm: float | None
) -> str:
    """Draw framewise displacement, volume by volume.

    Parameters
    ----------
    fd : float array of shape (n_volumes,)
        Framewise displacement in mm; the first is NaN.
    kept : bool array of shape (n_volumes,)
    n_dummies : int
        Volumes dropped at the start.
    threshold_mm : float or None
        Volumes above it were censored; None where motion censored none.
    """
    n_censored = int((~kept).sum()) - n_dummies
    censored = (
        f"{n_censored} of {fd.size} volumes censored"
        if threshold_mm is not None or n_censored
        else "nothing censored for motion"
    )
    with mpl.rc_context(STYLE):
        figure, axes = _axes(7.5, 1.9)
        volumes = np.arange(fd.size)
        axes.plot(volumes, fd, color=BLUE, linewidth=0.9)
        left_out = np.flatnonzero(~kept)
        axes.vlines(left_out, 0, 1, transform=axes.get_xaxis_transform(), color=RED,
                    alpha=0.25, linewidth=1.5)  # fmt: skip
        if threshold_mm is not None:
            axes.axhline(threshold_mm, color=RED, linewidth=0.8, linestyle="--")
        axes.set(xlabel="volume", ylabel="FD (mm)", xlim=(0, max(fd.size - 1, 1)))
        axes.set_ylim(bottom=0)
        dropped = f"; {n_dummies} dropped at the start" if n_dummies else ""
        axes.set_title(f"Head motion; {censored}{dropped}")
        return svg(figure, "Framewise displacement over the scan")


def carpet(series: np.ndarray, kept: np.ndarray) -> str:
    """Draw the cleaned signal of every region over time.

    Parameters
    ----------
    series : float array of shape (n_kept, n_regions)
        Standardized signals; NaN for regions without a signal.
    kept : bool array of shape (n_volumes,)
        Which volumes ``series`` holds; the others stay blank.
    """
    image = np.full((series.shape[1], kept.size), np.nan)
    image[:, kept] = series.T
    with mpl.rc_context(STYLE):
        figure, axes = _axes(7.5, 2.8)
        axes.set_facecolor("#e8d9cf")
        axes.imshow(image, aspect="auto", cmap="gray", vmin=-2, vmax=2,
                    interpolation="nearest")  # fmt: skip
        axes.set(xlabel="volume", ylabel="region")
        axes.set_title("Regional signals after cleaning, ±2 SD; tinted: left out")
        return svg(figure, "Carpet plot of the cleaned regional signals")


def matrix(values: np.ndarray) -> str:
    """Draw a correlation matrix of shape (n_regions, n_regions)."""
    with mpl.rc_context(STYLE):
        figure, axes = _axes(4.9, 4.2, right=0.9)
        axes.set_facecolor("#dddddd")
        image = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
        bar = axes.inset_axes([1.04, 0.1, 0.04, 0.8])
        figure.colorbar(image, cax=bar, label="Pearson's r", ticks=[-1, 0, 1])
        axes.set(xlabel="region", ylabel="region", title="Connectivity")
        return svg(figure, "Correlation between every pair of regions")


def coverage(shares: np.ndarray, least: float) -> str:
    """Draw how much of each region the scan covers, sorted.

    Parameters
    ----------
    shares : float array of shape (n_regions,), in [0, 1]
    least : float
        Regions below it are ``n/a``.
    """
    ordered = np.sort(shares)
    with mpl.rc_context(STYLE):
        figure, axes = _axes(4.6, 2.2)
        place = np.arange(ordered.size)
        axes.fill_between(place, ordered, step="mid", color=BLUE)
        low = ordered < least
        axes.fill_between(place, ordered, where=low, step="mid", color=RED)
        axes.axhline(least, color=RED, linewidth=0.8, linestyle="--")
        axes.set(xlabel="regions, least covered first", ylabel="share covered")
        axes.set(
            ylim=(0, 1.02), title=f"Coverage; {low.sum()} regions under {least:.0%}"
        )
        return svg(figure, "Share of each region inside the brain mask")


def roc(curves: Mapping[str, tuple[np.ndarray, np.ndarray, str]]) -> str:
    """Draw ROC curves.

    Parameters
    ----------
    curves : {model: (false positive rate, true positive rate, note)}
        Both rates of shape (n_thresholds,); the note stands in the legend.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _axes(4.6, 4.6)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        for place, (model, (fpr, tpr, note)) in enumerate(curves.items()):
            dashed = is_control(model)
            axes.plot(fpr, tpr, label=f"{model}  {note}",
                      color=PALETTE[place % len(PALETTE)],
                      linewidth=1.0 if dashed else 2.0,
                      linestyle="--" if dashed else "-")  # fmt: skip
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
        axes.set(xlim=(0, 1), ylim=(0, 1.005), title="ROC, pooled out of fold")
        axes.legend(loc="lower right", fontsize=8)
        return svg(figure, "ROC curves of every model")


def forest(rows: Sequence[tuple[str, float, float, float]], xlabel: str) -> str:
    """Draw estimates with their intervals, one a line.

    Parameters
    ----------
    rows : sequence of (label, estimate, low, high)
    xlabel : str
    """
    with mpl.rc_context(STYLE):
        figure, axes = _axes(
            4.6, 0.9 + 0.36 * len(rows), left=_name_width(row[0] for row in rows)
        )
        axes.axvline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        for place, (name, estimate, low, high) in enumerate(reversed(rows)):
            colour = GREY if is_control(name) else BLUE
            axes.plot([low, high], [place, place], color=colour, linewidth=2)
            axes.plot(estimate, place, "o", color=colour, markersize=6)
        axes.set_yticks(range(len(rows)), [row[0] for row in reversed(rows)])
        axes.set(xlabel=xlabel, ylim=(-0.6, len(rows) - 0.4))
        return svg(figure, f"{xlabel} with intervals")


def folds(scores: Mapping[str, Sequence[float]], ylabel: str) -> str:
    """Draw one dot a fold and the mean, model by model."""
    with mpl.rc_context(STYLE):
        figure, axes = _axes(7.0, 0.9 + 0.36 * len(scores), left=_name_width(scores))
        axes.axvline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        for place, (model, values) in enumerate(reversed(list(scores.items()))):
            given = np.asarray(values, float)
            given = given[np.isfinite(given)]
            colour = GREY if is_control(model) else BLUE
            spread = np.linspace(-0.18, 0.18, given.size)
            axes.scatter(given, place + spread, s=14, color=colour, alpha=0.55,
                         linewidths=0)  # fmt: skip
            if given.size:
                axes.plot([given.mean()] * 2, [place - 0.3, place + 0.3], color=colour)
        axes.set_yticks(range(len(scores)), list(reversed(scores)))
        axes.set(xlabel=ylabel, ylim=(-0.6, len(scores) - 0.4))
        axes.set_title("Each dot is a fold, the bar is their mean")
        return svg(figure, f"{ylabel} of every fold")


def confusion(counts: np.ndarray, labels: Sequence[str], title: str) -> str:
    """Draw a confusion matrix.

    Parameters
    ----------
    counts : int array of shape (2, 2)
        Rows are the truth, columns the prediction; control first.
    labels : two str
    title : str
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with mpl.rc_context(STYLE):
        figure, axes = _axes(3.3, 3.0)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            ink = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count}\n{shares[row, column]:.0%}",
                      ha="center", va="center", color=ink)  # fmt: skip
        axes.set_xticks([0, 1], labels)
        axes.set_yticks([0, 1], labels, rotation=90, va="center")
        axes.set(xlabel="predicted", ylabel="truth", title=title)
        return svg(figure, f"Confusion matrix of {title}")
