"""CITATION.md asks for what was used, and for torch only where it was."""

import pytest

from bidsclf.workflows._citation import CITATION_OF_METHOD, citation


@pytest.mark.parametrize("method", sorted(CITATION_OF_METHOD))
def test_neuroharmonize_is_cited_for_each_of_its_methods(method):
    assert ("Pomponio" in citation("group", method)) == (method != "none")


@pytest.mark.parametrize("level", ["group", "predict"])
def test_pytorch_is_asked_for_where_a_network_was_fitted(level):
    (line,) = [word for word in citation(level).split("\n- ") if "Paszke" in word]
    assert line.startswith("PyTorch, where methods.md names a network:")


def test_no_model_is_fitted_at_the_participant_level():
    assert "Paszke" not in citation("participant")
