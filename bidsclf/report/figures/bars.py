"""Grouped bars: accuracy, sensitivity and specificity beside each other."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np

from bidsclf.report.figures._draw import BLUE, GREEN, GREY, ORANGE, STYLE, axes_of, svg

COLOURS = {BLUE: "white", GREEN: "white", ORANGE: "black"}  # of a bar -> of its number
WIDE = 0.84  # of a group, as a share of the room it has
LONG = 5  # letters of a label beyond which labels are turned


def bars(
    labels: Sequence[str],
    heights: Mapping[str, np.ndarray],
    title: str,
    *,
    spreads: Mapping[str, np.ndarray] | None = None,
) -> str:
    """Draw a group of bars for each label, with the percentage in each bar.

    Parameters
    ----------
    labels : sequence of str
        One a group.
    heights : {measure: float array of shape (n_groups,)}
        At most three, shares in [0, 1]; NaN draws nothing.
    title : str
    spreads : {measure: float array of shape (n_groups,)}, optional
        Standard deviations, drawn up and down within [0, 1].
    """
    longest = max(map(len, labels))
    turned = {"rotation": 30, "ha": "right"} if longest > LONG else {}
    below = 0.68 + (0.03 * longest if turned else 0.0)  # inches
    width, at = max(4.6, 1.0 + 0.72 * len(labels)), np.arange(len(labels))
    wide = WIDE / len(heights)
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(width, 2.9 + below)
        figure.subplots_adjust(bottom=below / (2.9 + below))
        axes.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        for place, (measure, values) in enumerate(heights.items()):
            colour, ink = list(COLOURS.items())[place]
            x = at + (place - (len(heights) - 1) / 2) * wide
            axes.bar(x, values, wide * 0.94, color=colour, label=measure)
            if spreads is not None:
                axes.errorbar(x, values, yerr=_reach(values, spreads[measure]),
                              fmt="none", ecolor="black", elinewidth=1,
                              capsize=2)  # fmt: skip
            for left, value in zip(x, values, strict=True):
                if np.isfinite(value):
                    said = axes.text(left, 0.015, f"{100 * value:.0f}", color=ink,
                                     fontsize=7, ha="center", zorder=3)  # fmt: skip
                    said.set_bbox({"facecolor": colour, "edgecolor": "none", "pad": 0})
        axes.set_xticks(at, labels, **turned)
        axes.tick_params(axis="x", length=0)
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.set(ylim=(0, 1.005), title=title)
        figure.legend(loc="lower center", ncols=3, fontsize=8)
        return svg(figure, f"Bars: {title}")


def _reach(values: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return how far whiskers go down and up, within 0 and 1."""
    spread = np.nan_to_num(spread)
    return np.stack([np.minimum(spread, values), np.minimum(spread, 1 - values)])
