"""The page on latent spaces: which traits lie in them, how many kinds, and pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.interpret.latent import DIFFERENCE, SALIENT
from bidsclf.report import kinds, page, similarity, synthesis
from bidsclf.report.attribution import at_chance
from bidsclf.report.tables import Analysis, networks, pooled, select

NAME = "latent.html"
STRONG = 10  # of a difference of BIC (Kass & Raftery 1995)
PARTS = {  # table -> what the page lacks without it
    "rsa": "which traits lie in the spaces",
    "silhouette": "how far groups lie apart",
    "mixture": "how many kinds of patients there are",
    "plane": "pictures of the spaces",
}


def is_told(analysis: Analysis) -> bool:
    """Tell whether a model has a latent space to show."""
    return analysis.table("latents") is not None


def latent_page(analysis: Analysis) -> tuple[Path, dict[str, str]]:
    """Write ``latent.html``; return its path and its figures by name."""
    told = spaces(analysis)
    values = {
        "analysis": analysis.about["analysis_id"],
        "positive": analysis.labels["1"],
        "negative": analysis.labels["0"],
        "models": told,
        "left": similarity.left_out(analysis),
        "n_permutations": analysis.part("analysis").get("n_permutations"),
        "unreadable": [*analysis.unreadable.values()],
        "absent": [
            what for name, what in PARTS.items() if analysis.table(name) is None
        ],
    }
    path = page.write(analysis.folder / NAME, "latent", values)
    drawn = {
        f"latent-{one['model']}-{name}": figure
        for one in told
        for name, figure in _figures_of(one).items()
        if figure
    }
    return path, drawn


def _figures_of(one: dict[str, Any]) -> dict[str, str | None]:
    held = {name: (one[name] or {}).get("figure") for name in ("traits", "kinds")}
    held["planes"] = (one["planes"] or {}).get("figure")
    return held | {made["label"]: made["figure"] for made in one["images"]}


def spaces(analysis: Analysis) -> list[dict[str, Any]]:
    """Return for each model with latents what is in them, and what they draw."""
    latents = analysis.tables["latents"]
    return [
        {
            "model": str(model),
            "has_salient": f"{SALIENT}_01" in rows.dropna(axis="columns", how="all"),
            "people": _people(analysis, rows),
            "answers": _answers(analysis, str(model)),
            "scores": _scores(analysis, str(model)),
            "chance": at_chance(analysis, str(model)),
            "least": similarity.out_of_reach(analysis, str(model)),
            "networks": _networks(analysis, str(model)),
            "traits": similarity.traits(analysis, str(model)),
            "kinds": kinds.kinds(analysis, str(model)),
            "planes": kinds.planes(analysis, str(model)),
            "images": synthesis.images(analysis, str(model)),
        }
        for model, rows in latents.groupby("model", sort=False)
    ]


def _people(analysis: Analysis, rows: pd.DataFrame) -> dict[str, int]:
    """Return how many patients each fit has, and in how many folds."""
    patients = rows[rows["label"].astype(str) == analysis.labels["1"]]
    counts = patients["fit"].value_counts()
    return {fit: int(counts.get(fit, 0)) for fit in similarity.FITS} | {
        "folds": patients.loc[patients["fit"] == "crossfitted", "fold"].nunique()
    }


def _networks(analysis: Analysis, model: str) -> int:
    """Return how many networks a fit has, of which the first is shown."""
    fits = [fit for fit in analysis.about.get("notes", []) if fit["model"] == model]
    return max((len(networks(fit["notes"])) for fit in fits), default=1)


def _answers(analysis: Analysis, model: str) -> list[str]:
    """Return the sentences of the box: which traits, and how many kinds."""
    return [*_carried(analysis, model), *_counted(analysis, model)]


def _carried(analysis: Analysis, model: str) -> Iterator[str]:
    """Yield which traits lie in which space, of people not seen where it is known."""
    for fit in similarity.fits_of(analysis, model)[:1]:
        rows = select(analysis.tables["rsa"], model=model, fit=fit)
        held = [
            f"{str(space).capitalize()}: "
            + (", ".join(similarity.carried(analysis, model, fit, space)) or "no trait")
            for space in dict.fromkeys(rows["space"])
            if space != DIFFERENCE
        ]
        yield f"{'. '.join(held)}."
        whom = _whom(fit, _networks(analysis, model))
        yield (
            "Listed are the traits in which patients near each other are alike (p < .05"
            f" after Holm's correction), in people {whom}."
        )
        seen = similarity.carried(analysis, model, "everyone", SALIENT)
        held = similarity.carried(analysis, model, fit, SALIENT)
        if lost := [name for name in seen if name not in held]:
            yield f"Salient in the model of everyone alone: {', '.join(lost)}."


def _whom(fit: str, n_networks: int) -> str:
    """Say what the network that is shown knew of the people of a fit."""
    if fit == "crossfitted":
        return "whom the network had not seen"
    known = "most of whom" if n_networks > 1 else "whom"
    return f"{known} the network had seen"


def _counted(analysis: Analysis, model: str) -> Iterator[str]:
    """Yield how many kinds of patients the salient, or only, space holds."""
    best = kinds.best(analysis, model)
    space = SALIENT if SALIENT in best else next(iter(best), "")
    if not space:
        return
    if best[space] == 1:
        yield f"The {space} space shows one kind of patients: no sign of several."
    else:
        gain = kinds.gain(analysis, model, space)
        weak = f" (weak: under {STRONG})" if gain < STRONG else ""
        yield (
            f"The {space} space is described best by {best[space]} Gaussians, whose BIC"
            f" is {gain:.1f} below that of one{weak}: a sign of as many kinds of"
            " patients, or of one whose shape is no Gaussian."
        )


def _scores(analysis: Analysis, model: str) -> str:
    """Say how well the latents tell the groups, beside the controls."""
    auc = pooled(analysis.metrics, "auc").dropna(subset="estimate")
    if model not in auc.index:
        return ""
    controls = [name for name in map(str, auc.index) if page.is_control(name)]
    each = {
        name: page.interval(*auc.loc[name, ["estimate", "low", "high"]])
        for name in (model, *controls)
    }
    beside = "; ".join(f"{name} {each[name]}" for name in controls)
    return f"AUC {each[model]}" + (f", beside {beside}" if beside else "")
