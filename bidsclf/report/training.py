"""How networks learned and hidden states were chosen, for a methods section."""

from collections.abc import Callable, Iterator
from typing import Any

from bidsclf.report.learning import LAST, monitor_of, settings_of
from bidsclf.report.tables import Analysis, networks, select

Cite = Callable[..., str]
MEASURES = {"loss": "the loss", "auc": "the AUC", "accuracy": "the accuracy"}
BETTER = {"auc": "rose", "accuracy": "rose"}  # of all others: fell
SCORES = {
    "mean": "the mean probability over all of that person's windows",
    "share": "the share of that person's windows that are called `{}`",
}
SAMPLES = {  # setting ``pick`` -> which volumes are read
    "all": " Of each person every volume was read.",
    "even": " Of each person {} volumes were read, evenly spaced from the first to the"
    " last.",
    "middle": " Of each person the {} volumes in the middle were read.",
    "crops": " Windows began every {1} volumes, and the last one ended with the scan.",
}
EXPLAINED = {  # method of attributions.tsv -> sentence; {} is the citation, the models
    "integrated gradients": "What moves the score of {1} was measured by integrated"
    " gradients {0} in test people, from an input of zeros (or of no correlation), and"
    " averaged over splits.",
    "haufe": "The weights of {1} were turned into activation patterns {0} over training"
    " people and averaged over splits.",
}
CITED = {"integrated gradients": "sundararajan", "haufe": "haufe"}


def trained(analysis: Analysis) -> list[str]:
    """Return a sentence for the networks that were trained alike."""
    alike: dict[str, list[str]] = {}
    for model in learned(analysis):
        if settings_of(analysis, model):
            alike.setdefault(_words(analysis, model), []).append(model)
    return [f"{_joined(models)} learned {words}" for words, models in alike.items()]


def stopped(analysis: Analysis) -> list[str]:
    """Return networks that the loss stopped, of an analysis that kept no settings."""
    return [
        model
        for model in learned(analysis)
        if not settings_of(analysis, model)
        and monitor_of(analysis, model) in (None, "loss")
    ]


def learned(analysis: Analysis) -> list[str]:
    """Return the models that learned epoch by epoch."""
    fits = analysis.about.get("notes", [])
    trained = [f["model"] for f in fits if "epoch" in networks(f["notes"])[0]]
    return list(dict.fromkeys(trained))


def _words(analysis: Analysis, model: str) -> str:
    chosen = settings_of(analysis, model)
    window = chosen.get("window") or _crop(chosen)
    unit = "windows" if window else "people"
    decay = chosen.get("weight_decay")
    rule = f"AdamW (weight decay {decay:g})" if decay else "Adam"
    drawn = chosen.get("per_person")
    said = f"by {rule} with learning rate {chosen['learning_rate']:g}, in steps of"
    said += f" {chosen['batch_size']} {unit}"
    if unit == "windows":
        said += f" of {window} volumes"
        said += f", an epoch drawing {drawn} a person" if drawn else ""
    said += f", {_ended(analysis, model, chosen)}."
    if unit == "windows" and chosen.get("score") in SCORES:
        words = SCORES[chosen["score"]].format(analysis.labels["1"])
        said += f" A person's score is {words}."
    return said + _sampled(chosen)


def _crop(chosen: dict[str, Any]) -> int:
    """Return how many volumes follow one another in a sample; 0 of other samples."""
    return int(chosen["n_steps"]) if chosen.get("pick") == "crops" else 0


def _sampled(chosen: dict[str, Any]) -> str:
    """Say which volumes of a person a network of volumes reads; '' of another."""
    n, pick = chosen.get("n_steps"), chosen.get("pick")
    if n is None or pick not in SAMPLES:
        return ""
    return SAMPLES[pick].format(n, max(1, n // 2)) if n else SAMPLES["all"]


def _ended(analysis: Analysis, model: str, chosen: dict[str, Any]) -> str:
    """Say how long it learned, and which weights were kept."""
    rule, n_epochs = monitor_of(analysis, model), chosen["n_epochs"]
    if rule == LAST:
        return f"for {n_epochs} epochs, whose last weights were kept (monitor: last)"
    measure = MEASURES.get(str(rule), f"the {rule} part of the loss")
    return (
        f"for {n_epochs} epochs at most, until {measure} on {_held_out(analysis)} no"
        f" longer {BETTER.get(str(rule), 'fell')} for {chosen['patience']} epochs; the"
        " best weights by it were kept"
    )


def _held_out(analysis: Analysis) -> str:
    share = analysis.part("folds").get("valid_fraction")
    part = "a part" if share is None else f"{100 * share:.0f} %"
    return f"{part} of the training people, held out for that,"


def states(analysis: Analysis) -> str:
    """Say from what the number of hidden states was chosen; '' if it was not."""
    fits = [f for f in analysis.about.get("notes", []) if "n_states" in f["notes"]]
    tried = [
        list(f["notes"].get("states_auc") or f["notes"].get("inner_auc") or {})
        for f in fits[:1]
    ]
    if not tried or not tried[0]:
        return ""
    models = _joined(list(dict.fromkeys(fit["model"] for fit in fits)))
    return (
        f"The number of states of {models} was chosen from {', '.join(tried[0])},"
        " together with the cost of the linear machine, by the largest mean AUC over"
        " inner folds of the training people."
    )


def source(analysis: Analysis) -> str:
    """Say who outside the study taught; '' if nobody did."""
    table, asked = analysis.table("source"), analysis.part("cohort").get("source")
    if table is None or not asked:
        return ""
    n_sites = table["site"].nunique()
    sites = f" of {n_sites} {'site' if n_sites == 1 else 'sites'}" if n_sites else ""
    taught = [
        fit["model"]
        for fit in analysis.about.get("notes", [])
        if fit["notes"].get("pretraining")
    ]
    models = _joined(list(dict.fromkeys(taught))) or "Models that can"
    n = table["participant_id"].nunique()
    return (
        f"{models} learned first, without labels, from {n} people outside the"
        f" study{sites} for whom `{asked}` holds; none of them was tested."
    )


def explained(analysis: Analysis, cite: Cite) -> Iterator[str]:
    """Yield how what models look at was measured."""
    table = analysis.table("attributions")
    for method, words in EXPLAINED.items() if table is not None else ():
        rows = select(table, method=method)
        if not rows.empty:
            models = _joined([str(name) for name in rows["model"].unique()])
            yield words.format(cite(CITED[method]), models)
    mapped = analysis.table("maps")
    if mapped is not None:
        each = [str(name) for name in mapped["model"].unique()]
        models, ending = _joined(each), "" if each[1:] else "s"
        yield (
            f"Where {models} look{ending} was mapped in test people by gradient x input"
            f" {cite('shrikumar')} and by occlusion with cubes {cite('zeiler')}, both"
            " against the average of training people, and averaged over splits."
        )
    influence = analysis.table("influence")
    if influence is None:
        return
    models = _joined([str(name) for name in influence["model"].unique()])
    yield (
        f"Communities of {models} are the regions in the upper of two clusters of each"
        " node's generating weights, their influence the sum of the magnitudes with"
        f" which the classifying layer takes them in {cite('dvornek')}."
    )
    held = analysis.table("robustness")
    if held is not None and (held["method"] == "parafac").any():
        yield (
            "Their robustness between splits was compared with that of a non-negative"
            " PARAFAC of the correlations in windows."
        )
    if analysis.table("decoding") is not None:
        by = " with NiMARE " + cite("nimare") if _used_nimare(analysis) else ""
        yield (
            "The most influential were related to the terms of published studies in"
            f" Neurosynth {cite('neurosynth')}{by}."
        )


def _used_nimare(analysis: Analysis) -> bool:
    notes = analysis.about.get("explained_notes", [])
    return any(note.endswith("by NiMARE.") or " by NiMARE. " in note for note in notes)


def _joined(names: list[str]) -> str:
    """Return names in a sentence.

    Examples
    --------
    >>> _joined(["a"]), _joined(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
