"""Figures of spread: over splits of the people, and over ranges of the score."""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np

from bidsclf.report.figures._draw import (
    AWAY,
    BLUE,
    GREY,
    ORANGE,
    RED,
    STYLE,
    axes_of,
    svg,
)

N_BARS = 20  # at most, of a histogram; ours


@dataclass(frozen=True, slots=True)
class Curve:
    """One calibration curve.

    Attributes
    ----------
    score, share : float arrays of shape (n_bins,)
        Mean score and share of positive people of each bin that holds people.
    low, high : float arrays of shape (n_bins,)
        The interval of the share.
    """

    score: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def roc_band(fpr: np.ndarray, rates: dict[str, np.ndarray], title: str) -> str:
    """Draw the median ROC curve over splits, with its bands.

    Parameters
    ----------
    fpr : float array of shape (n_points,)
    rates : {name: float array of shape (n_points,)}
        True positive rates: median, mean, sd, p2_5, p16, p84, p97_5.
    title : str
    """
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.6, 4.6)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        axes.fill_between(fpr, rates["p2_5"], rates["p97_5"], color=BLUE, alpha=0.14,
                          linewidth=0, label="95 % of splits")  # fmt: skip
        axes.fill_between(fpr, rates["p16"], rates["p84"], color=BLUE, alpha=0.26,
                          linewidth=0, label="68 % of splits")  # fmt: skip
        for times, dash in ((1, "--"), (2, ":")):
            for sign in (-1, 1):
                edge = np.clip(rates["mean"] + sign * times * rates["sd"], 0, 1)
                label = f"mean ± {times} SD" if sign == 1 else None
                axes.plot(fpr, edge, color=ORANGE, linewidth=1.1, linestyle=dash,
                          label=label)  # fmt: skip
        axes.plot(fpr, rates["median"], color=BLUE, linewidth=2.2, label="median")
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
        axes.set(xlim=(0, 1), ylim=(0, 1.005), title=title)
        axes.legend(loc="lower right", fontsize=8)
        return svg(figure, f"{title}, with bands over splits")


def histogram(
    values: np.ndarray, chance: float, ends: tuple[float, float], title: str
) -> str:
    """Draw how a metric spreads over splits, beside chance.

    Parameters
    ----------
    values : float array of shape (n_splits,), finite
    chance : float
        What knowing nothing gives.
    ends : (low, high)
        The central 95 % of ``values``.
    title : str
    """
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.6, 3.3)
        axes.axvspan(*ends, color=BLUE, alpha=0.12, linewidth=0)
        axes.hist(values, bins=bar_edges(values), color=BLUE, rwidth=0.92)
        axes.axvline(chance, color=RED, linewidth=1.6, linestyle="--")
        axes.margins(y=0.16)
        top = axes.get_ylim()[1]
        is_left = chance < values.mean()
        axes.annotate(f"chance {chance:.2f}", (chance, top), color=RED, va="top",
                      ha="left" if is_left else "right", textcoords="offset points",
                      xytext=(AWAY if is_left else -AWAY, 0))  # fmt: skip
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="accuracy of a split; shaded: the central 95 %")
        axes.set(ylabel="splits", title=title)
        return svg(figure, f"Histogram: {title}")


def bar_edges(values: np.ndarray) -> np.ndarray:
    """Return the edges of a histogram's bars; one bar for values without spread.

    Examples
    --------
    >>> bar_edges(np.array([0.6, np.nextafter(0.6, 1)])).round(2)
    array([0.59, 0.61])
    """
    least, most = float(values.min()), float(values.max())
    if most - least < 1e-6:
        return np.array([least - 0.01, most + 0.01])
    n_bars = min(N_BARS, max(5, round(np.sqrt(values.size) * 1.5)))
    return np.linspace(least, most, n_bars + 1)


def reliability(before: Curve | None, after: Curve | None, title: str) -> str:
    """Draw the share of positive people against the score, before and after.

    Parameters
    ----------
    before, after : Curve or None
        Scores as the model gave them, and probabilities made of them.
    title : str
    """
    curves = [
        (before, GREY, "score of the model", "o--"),
        (after, BLUE, "probability", "o-"),
    ]
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(3.7, 3.9)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        for curve, colour, label, style in curves:
            if curve is None:
                continue
            reach = np.abs([curve.share - curve.low, curve.high - curve.share])
            axes.errorbar(curve.score, curve.share, yerr=reach, fmt=style, color=colour,
                          label=label, markersize=4.5, linewidth=1.4,
                          elinewidth=0.9)  # fmt: skip
        axes.set(xlabel="mean value", ylabel="share of positive people")
        axes.set(xlim=(0, 1), ylim=(0, 1.005), aspect="equal", title=title)
        figure.subplots_adjust(bottom=0.21)
        # below, since the bars of a small study fill the panel
        figure.legend(loc="lower center", ncols=2, fontsize=8)
        return svg(figure, f"Calibration of {title}")
