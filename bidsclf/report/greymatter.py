"""Grey-matter maps, and what was looked for in their latents, in a methods section."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bidsclf.interpret.latent import SALIENT
from bidsclf.report import similarity
from bidsclf.report.embedding import embedded
from bidsclf.report.tables import Analysis

INPUT = "graymatter"
Cite = Callable[..., str]
Feature = Mapping[str, Any]
MADE = {  # ``MapPipeline`` -> who made the maps, and keys of references
    "fmriprep": ("fMRIPrep", ("fmriprep",)),
    "cat12": ("CAT12", ("cat12",)),
    "vbm": ("voxel-based morphometry", ("vbm",)),
}


def on_cube(feature: Feature) -> str:
    """Return maps and their grid, for the line of a model.

    Examples
    --------
    >>> on_cube({"shape": [1, 64, 64, 64]}), on_cube({})
    ('grey-matter maps of 64 by 64 by 64 cells', 'grey-matter maps')
    """
    cells = " by ".join(str(n) for n in (feature.get("shape") or ())[1:])
    return f"grey-matter maps of {cells} cells" if cells else "grey-matter maps"


def brief(feature: Feature) -> str:
    """Return maps with how they were made, in a phrase."""
    made = feature.get("preprocessing") or {}
    name = MADE.get(made.get("MapPipeline"), ("unknown origin", ()))[0]
    return (
        f"{on_cube(feature)} (of {name}{', modulated' * bool(made.get('Modulated'))})"
    )


def brought(feature: Feature, cite: Cite) -> Iterator[str]:
    """Yield how maps were made and brought to a cube."""
    made = feature.get("preprocessing") or {}
    if made.get("MapPipeline") not in MADE:
        yield "How the grey-matter maps were made is not recorded."
        return
    name, keys = MADE[made["MapPipeline"]]
    space = f" in {feature['space']}" if feature.get("space") else ""
    unit = "probability of grey matter"
    if made.get("Modulated"):
        unit = "amount of grey matter, multiplied by the change of volume of the warp"
    fwhm = made.get("GMSmoothingFWHM")
    smooth = f"smoothed by {fwhm:g} mm FWHM and " if fwhm else ""
    edge = _edge(feature, made)
    yield (
        f"Grey-matter maps{space} ({unit}) were made by {name} {cite(*keys)} and"
        f" {smooth}brought to a cube{edge}, the same for everyone; a cell is the mean"
        " of the voxels around it by weights that are never below 0, so that no value"
        " exceeds those of the map. Maps of one person were averaged."
    )


def _edge(feature: Feature, made: Mapping[str, Any]) -> str:
    """Return the cells of the cube and their size."""
    box, shape = made.get("GridBoxMM"), (feature.get("shape") or ())[1:]
    if not box or not shape:
        return ""
    return f" of {shape[0]} cells of {(box[1][0] - box[0][0]) / shape[0]:g} mm an edge"


def latents(analysis: Analysis, cite: Cite) -> Iterator[str]:
    """Yield what was looked for in latent spaces, and how."""
    table = analysis.table("latents")
    if table is None:
        return
    models = " and ".join(str(name) for name in table["model"].unique())
    patients = analysis.labels["1"]
    contrastive = any(str(name).startswith(SALIENT) for name in table)
    yield f"Latents are the means that the encoders of {models} give."
    if contrastive:
        yield (
            "A contrastive autoencoder has background latents, which everyone has, and"
            f" salient ones, which only patients have {cite('abid', 'aglinskas')}."
        )
    if embedded(analysis):
        yield (
            "They are of the first of the networks of a fit, before harmonization; it"
            " learned from a part of the training people."
        )
    yield (
        "The final model placed the people it had learned from, which describes them"
        " and no one else; networks of the first repeat placed the people they were"
        " tested on (cross-fitted), who were compared within their fold alone. What"
        f" follows is of people with `{patients}`."
    )
    yield from _looked_for(analysis, cite)
    if analysis.table("mixture") is not None:
        yield (
            "Gaussian mixtures of up to ten components, with covariances of their own"
            " or shared, on the principal axes with more than 5 % of the variance of"
            f" the first, were compared by BIC {cite('fraley')}, of the final model;"
            " those with two components closer than 3.5 standard deviations, as pieces"
            " of a continuum are, did not count as kinds."
        )
    if analysis.table("plane") is not None:
        yield f"Pictures are of PCA and UMAP {cite('umap')}; nothing rests on them."
    if contrastive:
        yield (
            "Images without the salient part were made with salient latents of 0, those"
            " of controls with a salient part with the mean of patients."
        )


def _looked_for(analysis: Analysis, cite: Cite) -> Iterator[str]:
    table = analysis.table("rsa")
    if table is None:
        return
    names = ", ".join(map(str, table["trait"].unique()))
    n = analysis.part("analysis").get("n_permutations")
    groups = ""
    if analysis.table("silhouette") is not None:
        groups = f", and by the mean silhouette of its groups {cite('rousseeuw')}"
    yield (
        f"Each trait ({names}) was compared with each space by Kendall's tau-b of the"
        f" distances of pairs {cite('kriegeskorte')}{groups}, against {n or 'the'}"
        f" permutations of people {cite('mantel')}; p was corrected by Holm's method"
        f" over all rows of a fit {cite('holm')}."
    )
    if left := similarity.left_out(analysis):
        yield f"Not looked for: {'; '.join(f'{k} ({why})' for k, why in left.items())}."
