"""The page on latent spaces: which traits lie in them, how many kinds, and pictures."""

from pathlib import Path
from typing import Any

import pandas as pd

from bidsclf.files import store
from bidsclf.interpret.latent import DIFFERENCE, SALIENT
from bidsclf.report import kinds, page, similarity, synthesis
from bidsclf.report.attribution import at_chance
from bidsclf.report.tables import Analysis, networks, pooled, select

NAME = "latent.html"
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
        "left": left_out(analysis),
        "n_traits": _n_traits(analysis),
        "n_permutations": analysis.part("analysis").get("n_permutations"),
        "held_out": analysis.part("folds").get("valid_fraction"),
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


def left_out(analysis: Analysis) -> dict[str, str]:
    """Return the columns that were not looked for, and why, as rsa.json has them."""
    path = analysis.folder / "rsa.json"
    about = store.read_json(path) if path.exists() else {}
    return dict(about.get("trait", {}).get("LeftOut", {}))


def _n_traits(analysis: Analysis) -> int:
    table = analysis.table("rsa")
    return 0 if table is None else table["trait"].nunique()


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
    fits = similarity.fits_of(analysis, model)
    told = []
    if fits:
        known = analysis.tables["rsa"]
        of_fit = select(known, model=model, fit=fits[0])
        said = {
            space: ", ".join(similarity.carried(analysis, model, fits[0], space))
            or "none"
            for space in dict.fromkeys(of_fit["space"])
            if space != DIFFERENCE
        }
        names = [
            f"the {space} space: {words}" if space != "latent" else words
            for space, words in said.items()
        ]
        whom = "people it had not seen" if fits[0] == "crossfitted" else "people it saw"
        told.append(f"Traits that patients near each other share, in {whom}, in"
                    f" {'; in '.join(names)}.")  # fmt: skip
    best = kinds.best(analysis, model)
    space = SALIENT if SALIENT in best else next(iter(best), "")
    if space:
        n = best[space]
        told.append(
            f"Patients in the {space} space are best described by {n} Gaussian"
            f"{'' if n == 1 else 's'}:"
            + (
                " no sign of separate kinds."
                if n == 1
                else " a sign of kinds, or of a shape that is no Gaussian."
            )
        )
    return told


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
