"""How models and their features came about, in the words of a methods section."""

import ast
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bidsclf.features._strategy import strategy_names
from bidsclf.files import store
from bidsclf.report import greymatter, volumes
from bidsclf.report.tables import Analysis, pooled

DATA = Path(__file__).parents[1] / "data"
WORDS = DATA / "report" / "models.json"
Cite = Callable[..., str]


def features_of(analysis: Analysis) -> dict[str, dict[str, Any]]:
    """Return what each model read, as its bundle of any fold says."""
    found = {}
    for name in map(str, pooled(analysis.metrics, "auc").index):
        bundles = sorted((analysis.folder / "models" / name).glob("*/model.json"))
        context = store.read_json(bundles[0]).get("context", {}) if bundles else {}
        found[name] = dict(context.get("feature", {}))
    return found


def model_words(model: str, feature: dict[str, Any]) -> str:
    """Return what a model is and what it reads, for one line of a list.

    A model without words in models.json is told by the first line of its file.
    """
    known = store.read_json(WORDS)
    names = [name for name in known["models"] if model.startswith(name)]
    if not names:
        return _first_line(model)
    said, read = known["models"][max(names, key=len)], reads(feature)
    views = [words for end, words in known["views"].items() if model.endswith(end)]
    return f"{said} on {read}{''.join(views)}." if read else f"{said.rstrip(',')}."


def reads(feature: dict[str, Any]) -> str:
    """Return what of the brain a model reads; '' if nothing or not recorded."""
    known = store.read_json(WORDS)["inputs"]
    if feature.get("input") == "volume":
        return volumes.on_grid(feature)
    if feature.get("input") == greymatter.INPUT:
        return greymatter.on_cube(feature)
    if feature.get("input") not in known:
        return ""
    atlas = f" (atlas {feature['atlas']})" if feature.get("atlas") else ""
    return f"{known[feature['input']]}{atlas}"


def _first_line(model: str) -> str:
    tree = _source(model)
    if tree is None:
        return "a model that this version does not know."
    line = (ast.get_docstring(tree) or "").partition("\n")[0]
    return line[:1].lower() + line[1:]


def uses_torch(model: str) -> bool:
    """Tell whether the file of a model's family imports torch; it is only read."""
    tree = _source(model)
    nodes = [] if tree is None else list(ast.walk(tree))
    names = [
        n.name for node in nodes if isinstance(node, ast.Import) for n in node.names
    ]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return any(name.partition(".")[0] == "torch" for name in names)


def _source(model: str) -> ast.Module | None:
    spec = find_spec("bidsclf.models")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    file = folder / f"{model.partition('-')[0]}.py"
    return ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else None


def preparations(analysis: Analysis, cite: Cite) -> list[str]:
    """Return a paragraph for each way in which features were made of images."""
    found = features_of(analysis).values()
    told = [" ".join(_imaged(feature, cite)) for feature in found]
    return list(dict.fromkeys(filter(None, told)))


def _imaged(feature: dict[str, Any], cite: Cite) -> Iterator[str]:
    """Yield how images became what a model read; nothing where it read none."""
    if feature.get("input") == greymatter.INPUT:
        yield from greymatter.brought(feature, cite)
        return
    if feature.get("input") != "volume":
        yield from _prepared(feature, cite) if feature.get("atlas") else ()
        return
    made = feature.get("preprocessing") or {}
    if made.get("Pipeline") == volumes.MATLAB:
        yield from volumes.converted(feature)
    elif made.get("Pipeline") or "GridBoxMM" not in made:
        yield volumes.unknown(feature)
    else:
        yield from volumes.resized(feature, cite)
        yield "Cells were then cleaned over time."
        yield from _denoised(made)
        yield from volumes.picked(feature)


def joined_runs(features: dict[str, dict[str, Any]]) -> str:
    """Say how the runs of a person became one row."""
    read = {feature.get("input") for feature in features.values()}
    known = store.read_json(WORDS)["joined"]
    each = [words for name, words in known.items() if name in read]
    if not each:
        return "Runs of a person were averaged."
    said = f"The {' and the '.join(each)} of a person's runs follow one another"
    has_edges = bool(read & set(store.read_json(WORDS)["inputs"]) - set(known))
    return said + ("; edges were averaged over runs." if has_edges else ".")


def _prepared(feature: dict[str, Any], cite: Cite) -> Iterator[str]:
    made, atlas = feature.get("preprocessing") or {}, feature["atlas"]
    space = f" in {feature['space']}" if feature.get("space") else ""
    if not {"Pipeline", "MinCoverage"} & set(made):  # neither converted nor ours
        yield f"How the signals of atlas {atlas}{space} were made is not recorded."
    elif made.get("Pipeline"):
        yield (
            f"The signals of atlas {atlas}{space} were not made by bidsclf but by"
            f" {made['Pipeline']}; denoising, filter and censoring are as described"
            " there."
        )
    else:
        yield (
            f"Images{space}, preprocessed with fMRIPrep {cite('fmriprep')} (its own"
            f" report has its version and steps), were averaged over each region of"
            f" atlas {atlas} with Nilearn {cite('nilearn')}."
        )
        yield from _denoised(made)
    if "MinCoverage" in made:
        least = f"{made['MinCoverage']:.0%}"
        yield f"A region of which a scan covers less than {least} counts as missing."


def _denoised(made: dict[str, Any]) -> Iterator[str]:
    """Yield the steps; a field that is absent from a sidecar was not asked for."""
    name = str(made.get("Strategy", "unknown"))
    if name in strategy_names():
        known = store.read_json(DATA / "strategies" / f"{name}.json")
        words = known["description"].rstrip(".")
        yield f"Denoising strategy {name} ({known['reference']}): {words}."
    else:
        yield f"The denoising strategy was {name}; each sidecar lists its regressors."
    yield f"Signals were detrended and {_filtered(made)}."
    smooth = made.get("SmoothingFWHM")
    if smooth is not None:
        how = f"smoothed by {smooth:g} mm FWHM" if smooth else "not smoothed"
        yield f"Images were {how}."
    yield _censored(made)
    asked = made.get("DummyScansAsked")
    if asked is not None:
        which = "those that fMRIPrep marked as non-steady"
        which = which if asked == "auto" else f"the first {asked}"
        yield f"Of the volumes at the start, {which} were left out."


def _filtered(made: dict[str, Any]) -> str:
    ends = {"HighPassHz": "above {:g} Hz", "LowPassHz": "below {:g} Hz"}
    kept = [
        words.format(made[k]) for k, words in ends.items() if made.get(k) is not None
    ]
    if not kept:
        return "not filtered further"
    return f"kept {' and '.join(kept)} (Butterworth, order 5, both directions)"


def _censored(made: dict[str, Any]) -> str:
    limits = {"FDThreshold": "framewise displacement above {:g} mm",
              "StdDVARSThreshold": "standardized DVARS above {:g}"}  # fmt: skip
    said = _formatted(made, limits)
    if not said:
        return "No volume was censored for motion."
    least = made.get("MinSegmentVolumes")
    short = f", and segments under {least} volumes between them" if least else ""
    return f"Volumes with {' or '.join(said)} were censored{short}."


def _formatted(made: dict[str, Any], words: dict[str, str]) -> list[str]:
    return [
        said.format(made[k]) for k, said in words.items() if made.get(k) is not None
    ]
