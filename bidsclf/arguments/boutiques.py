"""The command line as a Boutiques 0.5 descriptor, for platforms that run tools."""

import argparse
import re
from typing import Any

from bidsclf import __version__
from bidsclf.arguments.parser import parser
from bidsclf.arguments.table import every, is_number, settings
from bidsclf.config import LEVELS

FILES = {  # options whose value is one path that exists
    "--bids-filter-file", "--bids-database-dir", "--model", "--nipype-plugin-file",
    "--config-file", "--atlas-image", "--networks", "--decoding-data",
    "--map-table",
}  # fmt: skip

TEXTS = (  # numbers, or words for them
    "--mem", "--dummy-scans", "--volume-length", "--volume-size",
)  # fmt: skip


def _input(action: argparse.Action) -> dict[str, Any]:
    long = [f for f in action.option_strings if f.startswith("--") and "_" not in f]
    flag = long[0] if long else ""
    name = flag.lstrip("-").replace("-", "_") or action.dest
    words = {option.name: option.help for option in every()}
    made: dict[str, Any] = {
        "id": name,
        "name": name.replace("_", " "),
        "description": words.get(flag, action.help or name),
        "optional": bool(flag),
        "type": "String",
        "value-key": f"[{name.upper()}]",
    }
    return made | (_flag_parts(action, flag) if flag else _positional_parts(name))


def _positional_parts(name: str) -> dict[str, Any]:
    if name == "level":
        return {"value-choices": list(LEVELS)}
    return {"type": "File"} if name == "bids_dir" else {}


def _flag_parts(action: argparse.Action, flag: str) -> dict[str, Any]:
    parts: dict[str, Any] = {"command-line-flag": flag}
    if action.nargs == 0:
        return parts | {"type": "Flag"}
    if flag in FILES:
        return parts | {"type": "File"}
    known = settings()[flag][1]
    if flag not in TEXTS:
        parts |= _number_parts(known)
    if action.nargs == "*":
        parts["list"] = True
    if "choices" in known.metadata:
        parts["value-choices"] = list(known.metadata["choices"])
    return parts


def _number_parts(known: Any) -> dict[str, Any]:
    if not (is_number(known, int) or is_number(known, float)):
        return {}
    parts: dict[str, Any] = {"type": "Number", "integer": is_number(known, int)}
    limits = known.metadata
    for key, bound in (("minimum", "least"), ("maximum", "most")):
        if bound in limits:
            parts[key] = limits[bound]
    if "above" in limits:
        parts |= {"minimum": limits["above"], "exclusive-minimum": True}
    return parts


def descriptor() -> dict[str, Any]:
    """Return the descriptor as JSON values, made from the parser."""
    actions = [a for a in parser()._actions if a.dest not in ("help", "version")]
    inputs = [_input(action) for action in actions]
    return {
        "name": "bidsclf",
        "tool-version": __version__,
        "schema-version": "0.5",
        "description": re.sub(r"\s+", " ", parser().description or ""),
        "author": "The bidsclf developers",
        "command-line": "run.py " + " ".join(i["value-key"] for i in inputs),
        "container-image": {"type": "docker", "image": f"bidsclf:{__version__}"},
        "inputs": inputs,
        "output-files": [
            {
                "id": "output",
                "name": "results",
                "description": "Features, reports and group analyses",
                "path-template": "[OUTPUT_DIR]",
                "optional": False,
            }
        ],
        "error-codes": [
            {"code": code, "description": text}
            for code, text in (
                (1, "A bug of bidsclf"),
                (2, "The command line contradicts itself"),
                (3, "There is no input that can be used; nothing was computed"),
                (4, "Some units failed; the others are complete"),
                (5, "Results are complete; a report failed"),
            )
        ],
        "tags": {"domain": ["neuroinformatics", "bids-app"]},
    }
