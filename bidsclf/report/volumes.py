"""How images became volumes on a small grid, in the words of a methods section."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bidsclf.features._resize import MIN_INSIDE, MNI_BOX_MM
from bidsclf.sources._fill import SIGMA_VOXELS
from bidsclf.sources._mat_volume import MAX_MISSING, STANDARDIZED

Cite = Callable[..., str]
Feature = Mapping[str, Any]
MATLAB = "matfile"  # ``Pipeline`` of images from MATLAB files
PICKED = {"even": "evenly spaced", "contiguous": "from the middle of the run"}
HOW = {  # value of ``VolumePick`` -> what was taken of a run
    "all": "All volumes kept were taken.",
    "even": "Of the volumes kept, {} evenly spaced ones were taken: the middle of each"
    " of as many equal parts of the run.",
    "contiguous": "Of the volumes kept, the {} in the middle of the run were taken.",
}
SCALED = {
    STANDARDIZED["mean"]: "Each scan was divided by its mean over the mask and all"
    " volumes.",
    STANDARDIZED["none"]: "Values were left as they are in the files.",
}


def on_grid(feature: Feature) -> str:
    """Return volumes and their grid, for the line of a model.

    Examples
    --------
    >>> on_grid({"shape": [None, 34, 34, 30]}), on_grid({})
    ('volumes of 34 by 34 by 30 cells', 'volumes')
    """
    cells = _cells(feature)
    return f"volumes of {cells} cells" if cells else "volumes"


def brief(feature: Feature) -> str:
    """Return volumes with how they were made, in a phrase."""
    made = feature.get("preprocessing") or {}
    length, pick = made.get("VolumeLength"), made.get("VolumePick")
    scaled = str(made.get("VolumeStandardization", "")).removeprefix("None: ")
    taken = f"{length} of a run, {PICKED[pick]}" if pick in PICKED else ""
    if pick == "all" or made.get("Pipeline") == MATLAB:
        taken = "all that are kept of a run"
    said = [
        f"from {made['Pipeline']}" if made.get("Pipeline") else "",
        taken,
        f"denoising strategy {made['Strategy']}" if made.get("Strategy") else "",
        scaled[:1].lower() + scaled[1:].rstrip("."),
    ]
    told = "; ".join(filter(None, said)) or "how they were made is not recorded"
    return f"{on_grid(feature)} ({told})"


def converted(feature: Feature) -> Iterator[str]:
    """Yield how images of MATLAB files were made volumes.

    Nothing says how they were preprocessed, and that is said.
    """
    made, cells = feature.get("preprocessing") or {}, _cells(feature)
    yield (
        "Images were read from MATLAB files by `bidsclf-data matfile`. How they were"
        f" preprocessed before is not recorded{_aligned(feature)}. Values outside the"
        " mask of a file were set to 0; those inside it that were missing (not a"
        " number, or infinite) were replaced by the mean of their finite neighbours"
        f" inside it, weighted by a Gaussian of sigma {SIGMA_VOXELS:g} voxel, and a"
        f" scan that lacked {MAX_MISSING:.0%} or more was refused."
    )
    size = feature.get("grid")
    if size is None:
        yield "Whether images were resized is not recorded."
    elif str(size) == "0":
        yield f"Images kept the grid of the files, {cells or 'not recorded'} voxels."
    else:
        yield (
            "Each scan was cropped to the box of its own mask and resized to"
            f" {cells or f'{size} by {size} by {size}'} cells, so that a cell need not"
            f" be the same place in two people. {_weighed('the mask')}"
        )
    scaled = made.get("VolumeStandardization")
    yield SCALED.get(str(scaled), _scaled(scaled))
    yield (
        "bidsclf removed no confounds, filtered and censored nothing, and took every"
        f" volume. {_clock(feature)}"
    )


def resized(feature: Feature, cite: Cite) -> Iterator[str]:
    """Yield how images were cropped and brought to a small grid."""
    made, cells = feature["preprocessing"], _cells(feature)
    space = f" in {feature['space']}" if feature.get("space") else ""
    low, high = made["GridBoxMM"]
    edges = [
        f"{(b - a) / n:.1f}"
        for a, b, n in zip(low, high, (feature.get("shape") or ())[1:], strict=False)
    ]
    of_mm = f" of {' by '.join(edges)} mm" if edges else ""
    said = (
        f"Images{space}, preprocessed with fMRIPrep {cite('fmriprep')} (its own report"
        " has its version and steps), were cropped to the box from"
        f" {_corner(low)} to {_corner(high)} mm"
    )
    if [list(low), list(high)] == [list(corner) for corner in MNI_BOX_MM]:
        said += f" (that of the MNI152 brain of Nilearn {cite('nilearn')})"
    yield (
        f"{said} and resized"
        f" to {cells or 'a number, which is not recorded, of'} cells{of_mm}, the same"
        " for everyone."
        f" {_weighed('the brain mask (of the whole image where a scan has none)')}"
    )


def picked(feature: Feature) -> Iterator[str]:
    """Yield in what unit values are, and which volumes of a run were taken."""
    made = feature["preprocessing"]
    if made.get("SmoothingFWHM"):
        yield "Smoothing took in nothing from outside the mask."
    yield _scaled(made.get("VolumeStandardization"))
    how = HOW.get(str(made.get("VolumePick")))
    if how is None:
        yield "Which volumes of a run were taken is not recorded."
    else:
        yield how.format(made.get("VolumeLength", "a number, not recorded, of"))
    yield _clock(feature)


def unknown(feature: Feature) -> str:
    """Say that nobody recorded how volumes were made."""
    space = f" in {feature['space']}" if feature.get("space") else ""
    pipeline = (feature.get("preprocessing") or {}).get("Pipeline")
    if pipeline:
        return (
            f"The {on_grid(feature)}{space} were not made by bidsclf but by {pipeline};"
            " how is described there."
        )
    return f"How the {on_grid(feature)}{space} were made is not recorded."


def _cells(feature: Feature) -> str:
    return " by ".join(str(n) for n in (feature.get("shape") or ())[1:])


def _corner(mm: list[float]) -> str:
    return f"({', '.join(f'{value:g}' for value in mm)})"


def _aligned(feature: Feature) -> str:
    space = feature.get("space")
    if not space or space == "individual":
        return ", nor is a template that they are aligned to"
    return f"; they are said to be aligned to {space}"


def _weighed(mask: str) -> str:
    """Return what a cell is: ``features._resize.axis_weights`` in words."""
    return (
        f"A cell is the mean of the voxels of {mask} around it, weighted along each"
        " axis by a triangle as wide as two cells, or two voxels where these are larger"
        " (linear interpolation with antialiasing); it is 0 where less than"
        f" {MIN_INSIDE:.0%} of it lies in the mask."
    )


def _scaled(said: str | None) -> str:
    if not said:
        return "How values were scaled is not recorded."
    if said.startswith("divided"):
        return (
            "The mean of each cell, which cleaning removes, was put back, and the image"
            f" {said}."
        )
    return f"Values are the {said}." if "z-score" in said else f"Values: {said}."


def _clock(feature: Feature) -> str:
    """Return the seconds between two volumes that were taken."""
    times = [time for time in feature.get("repetition_times_s") or () if time]
    if not times:
        return "The time between two volumes is not recorded."
    least, most = min(times), max(times)
    span = f"{least:g}" if least == most else f"{least:g} to {most:g}"
    return f"Between two volumes taken lie {span} s."
