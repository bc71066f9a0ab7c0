"""Figures of one scan: motion, signals, coverage, connectivity."""

import matplotlib as mpl
import numpy as np

from bidsclf.report.figures._draw import BLUE, RED, STYLE, axes_of, svg


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
        figure, axes = axes_of(7.5, 1.9)
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
        figure, axes = axes_of(7.5, 2.8)
        axes.set_facecolor("#e8d9cf")
        axes.imshow(image, aspect="auto", cmap="gray", vmin=-2, vmax=2,
                    interpolation="nearest")  # fmt: skip
        axes.set(xlabel="volume", ylabel="region")
        axes.set_title("Regional signals after cleaning, ±2 SD; tinted: left out")
        return svg(figure, "Carpet plot of the cleaned regional signals")


def matrix(values: np.ndarray) -> str:
    """Draw a correlation matrix of shape (n_regions, n_regions)."""
    with mpl.rc_context(STYLE):
        figure, axes = axes_of(4.9, 4.2, right=0.9)
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
        figure, axes = axes_of(4.6, 2.2)
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
