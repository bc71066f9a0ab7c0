"""Scans that lack what models take: left out alone, and never unsaid."""

from pathlib import Path

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from bidsclf.files.complete import complete
from bidsclf.files.people import ID

KINDS = ("volume", "fisherz", "quality")


def table(*scans: tuple[str, str, str]) -> pd.DataFrame:
    """Return scans of (participant, run, initials of what they hold)."""
    rows = [
        {ID: who, "session": "", "run": run}
        | {kind: Path(kind) if kind[0] in held else None for kind in KINDS}
        for who, run, held in scans
    ]
    return pd.DataFrame(rows)


def test_a_run_without_an_image_goes_and_its_person_stays():
    files = table(("a", "1", "vf"), ("a", "2", "f"), ("b", "1", "v"))
    kept, reasons, (note,) = complete(files, ["volume"])
    assert kept.index.tolist() == [0, 2]
    assert reasons == {}
    assert note.startswith("1 scans of people who have others are not used")
    assert "no volume" in note
    assert "a_run-2." in note


def test_who_has_no_scan_left_is_named_with_what_is_lacking():
    files = table(("a", "1", "vf"), ("b", "1", "v"), ("c", "1", "f"), ("c", "2", "f"))
    kept, reasons, (note,) = complete(files, ["volume", "fisherz"])
    assert kept[ID].tolist() == ["a"]
    assert reasons == {"b": "no scan with fisherz", "c": "no scan with volume"}
    assert note.startswith("2 people are left out, who have no scan with fisherz, vol")


def test_what_nobody_has_or_no_model_takes_leaves_nobody_out():
    files = table(("a", "1", "v"), ("b", "1", "vf"))
    for inputs in ([], ["covariance"], ["volume"], ["motion", "phenotype", "site"]):
        kept, reasons, notes = complete(files, inputs)
        assert kept is files
        assert (reasons, notes) == ({}, [])


held = st.text("vfq", max_size=3)
scans = st.lists(st.tuples(st.sampled_from("abc"), st.just("1"), held), min_size=1)


@given(scans, st.sets(st.sampled_from(["volume", "fisherz"])))
def test_everyone_is_kept_or_has_a_reason_and_what_is_kept_is_whole(rows, inputs):
    files = table(*rows)
    kept, reasons, notes = complete(files, inputs)
    assert {*kept[ID]} | {*reasons} == {*files[ID]}
    assert not {*kept[ID]} & {*reasons}
    there = [name for name in inputs if files[name].notna().any()]
    assert kept[there].notna().all(axis=None)
    assert (len(kept) < len(files)) == bool(notes)
