"""Figures of models: how well each tells the groups apart."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np

from bidsclf.report.figures._draw import (
    BLUE,
    GREY,
    PALETTE,
    STYLE,
    axes_of,
    name_width,
    svg,
)
from bidsclf.report.page import is_control


def roc(curves: Mapping[str, tuple[np.ndarray, np.ndarray, str]]) -> str:
    """Draw ROC curves.

    Parameters
    ----------
    curves : {model: (false positive rate, true positive rate, note)}
        Both rates of shape (n_thresholds,); the note stands in the legend.
    """
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.6, 4.6)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        for place, (model, (fpr, tpr, note)) in enumerate(curves.items()):
            dashed = is_control(model)
            axes.plot(fpr, tpr, label=f"{model}  {note}",
                      color=PALETTE[place % len(PALETTE)],
                      linewidth=1.0 if dashed else 2.0,
                      linestyle="--" if dashed else "-")  # fmt: skip
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
        axes.set(xlim=(0, 1), ylim=(0, 1.005), title="ROC, pooled out of fold")
        axes.legend(loc="lower right", fontsize=8, frameon=True, framealpha=0.85,
                    edgecolor="none")  # fmt: skip
        return svg(figure, "ROC curves of every model")


def forest(rows: Sequence[tuple[str, float, float, float]], xlabel: str) -> str:
    """Draw estimates with their intervals, one a line.

    Parameters
    ----------
    rows : sequence of (label, estimate, low, high)
    xlabel : str
    """
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(
            4.6, 0.9 + 0.36 * len(rows), left=name_width(row[0] for row in rows)
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
    """Draw one dot a split and the mean, model by model."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(7.0, 0.9 + 0.36 * len(scores), left=name_width(scores))
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
        axes.set_title("Each dot is a split, the bar is their mean")
        return svg(figure, f"{ylabel}, every one")


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
        figure, axes = axes_of(3.3, 3.0)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            ink = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count}\n{shares[row, column]:.0%}",
                      ha="center", va="center", color=ink)  # fmt: skip
        axes.set_xticks([0, 1], labels)
        axes.set_yticks([0, 1], labels, rotation=90, va="center")
        axes.set(xlabel="predicted", ylabel="truth", title=title)
        return svg(figure, f"Confusion matrix of {title}")
