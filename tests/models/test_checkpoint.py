"""A training that was killed goes on, to the same weights bit for bit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bidsclf.errors import FitError
from bidsclf.models._arithmetic import seeded
from bidsclf.models._base import find
from bidsclf.models._checkpoint import Checkpoint, digest_of
from bidsclf.models._classifier import TorchClassifier
from bidsclf.models._loop import learn
from bidsclf.models._rows import Series
from bidsclf.models._training import Part, Training
from bidsclf.models.meanmlp import MeanMLP

Y = np.tile([0, 1], 12)
CPU = torch.device("cpu")


def rows(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(3, 3)) + 0.4 * y).astype(np.float32) for y in Y]


def part_of(toy, x) -> Part:
    return Part(toy.samples(x), Y, np.ones(len(Y)))


def run(toy, path=None, *, watch=None, is_valid=True, rows_digest="r", **settings):
    given = {"n_epochs": 8, "batch_size": 7, "learning_rate": 0.05} | settings
    with seeded(3, CPU):
        return learn(
            toy,
            part_of(toy, rows()),
            Training(**given),
            valid=part_of(toy, rows(1)) if is_valid else None,
            checkpoint=path and Checkpoint(path=path, rows=rows_digest),
            watch=watch,
        )


class Killed(BaseException):
    """Stands for a signal."""


def kill_in_epoch(toy, number: int, per_person: int = 0) -> None:
    """Let the second step of an epoch fail, as a signal would."""
    n_batches, real = -(-(per_person or 3) * len(Y) // 7), toy.loss

    def loss(batch, y, weight):
        if toy.training:
            toy.steps = getattr(toy, "steps", 0) + 1
            if toy.steps == (number - 1) * n_batches + 2:
                raise Killed
        return real(batch, y, weight)

    toy.loss = loss


def weights_of(toy) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in toy.state_dict().items()}


def assert_same(one, two) -> None:
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("epoch", [1, 2, 5, 8])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"is_valid": False},
        {"per_person": 2, "monitor": "auc", "patience": 8},
        {"monitor": "last", "precision": "bf16"},
    ],
    ids=["valid", "no valid", "drawn anew", "bf16"],
)
def test_a_killed_training_ends_with_the_same_weights(
    make_toy, tmp_path, epoch, settings
):
    whole, killed, resumed = make_toy(), make_toy(), make_toy()
    expected = run(whole, **settings)
    kill_in_epoch(killed, epoch, settings.get("per_person", 0))
    with pytest.raises(Killed):
        run(killed, tmp_path / "fit.safetensors", **settings)
    seen = []
    found = run(
        resumed,
        tmp_path / "fit.safetensors",
        watch=lambda n, entry: seen.append(entry["epoch"]),
        **settings,
    )
    assert found == expected
    assert seen == list(range(epoch, 8 + 1))
    assert_same(weights_of(resumed), weights_of(whole))
    assert not list(tmp_path.glob(".partial-*"))


def test_a_training_that_had_ended_is_not_done_again(make_toy, tmp_path):
    toy, again = make_toy(), make_toy()
    expected = run(toy, tmp_path / "a.safetensors")
    again.calls = []
    assert run(again, tmp_path / "a.safetensors") == expected
    assert again.calls == []
    assert_same(weights_of(again), weights_of(toy))


@pytest.mark.parametrize(
    "other",
    [
        {"rows_digest": "other"},
        {"learning_rate": 0.04},
        {"n_epochs": 7},
        {"monitor": "auc"},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_training_is_ignored(make_toy, tmp_path, other):
    path = tmp_path / "fit.safetensors"
    run(make_toy(), path, **other)
    toy, whole = make_toy(), make_toy()
    toy.calls = []
    assert run(toy, path) == run(whole)
    assert toy.calls


def test_a_checkpoint_of_other_start_weights_is_ignored(make_toy, tmp_path):
    path, other = tmp_path / "fit.safetensors", make_toy()
    with torch.no_grad():
        other.line.bias += 1e-6
    run(other, path)
    toy = make_toy()
    toy.calls = []
    run(toy, path)
    assert toy.calls


def test_other_rows_or_labels_are_another_digest():
    y = Y.copy()
    y[0] = 1
    changed = rows()
    changed[3][0, 0] += 1e-6
    parts = [
        (rows(), Y), (rows(), y), (changed, Y), (rows()[:-1], Y[:-1]), (rows(1), Y)
    ]  # fmt: skip
    digests = [digest_of(one, None) for one in parts]
    digests += [digest_of(parts[0], one) for one in parts]
    assert len(set(digests)) == 10
    assert digest_of((rows(), Y), None) == digests[0]


def spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "foreign":
        save_file({"a": torch.zeros(3)}, path)
    elif how == "text":
        path.write_text("not a checkpoint")
    elif how == "flipped":
        middle = len(content) // 2
        flipped = bytes([content[middle] ^ 1])
        path.write_bytes(content[:middle] + flipped + content[middle + 1 :])
    elif how == "zeros":  # what a power cut may leave of the last blocks
        path.write_bytes(content[:-64] + bytes(64))
    elif how == "folder":
        path.unlink()
        (path.parent / "elsewhere").touch()
    else:
        path.write_bytes(content[: int(len(content) * float(how))])


@pytest.mark.parametrize(
    "how", ["foreign", "text", "flipped", "zeros", "folder", "0", "0.1", "0.5", "0.99"]
)
def test_a_torn_or_foreign_file_is_ignored(make_toy, tmp_path, how):
    path, toy, whole = tmp_path / "fit.safetensors", make_toy(), make_toy()
    run(make_toy(), path)
    spoil(path, how)
    toy.calls = []
    assert run(toy, path) == run(whole)
    assert toy.calls


def test_an_error_says_where_the_last_good_weights_are(make_toy, tmp_path):
    toy, path = make_toy(), tmp_path / "fit.safetensors"

    def poison(n_epochs, entry):
        if entry["epoch"] == 3:
            with torch.no_grad():
                toy.line.bias[0] = torch.nan

    match = r"epoch 4 .* Weights of epoch 3 are kept in .*fit\.safetensors\.$"
    with pytest.raises(FitError, match=match):
        run(toy, path, watch=poison)
    assert path.exists()


SCRIPT = """
import os, signal, sys
import numpy as np
import torch
from pathlib import Path
from bidsclf.models._classifier import TorchClassifier
from bidsclf.models._rows import Series
from bidsclf.models._training import Training
from bidsclf.models.meanmlp import MeanMLP

torch.set_num_threads(1)
rng = np.random.default_rng(0)
y = np.tile([0, 1], 12)
x = [(rng.normal(size=(rng.integers(5, 9), 4)) + 0.4 * l).astype("f4") for l in y]
x = Series.of(x)
seen, real = [], MeanMLP.loss
def loss(self, *more):
    seen.append(1)
    if len(seen) == 27:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *more)
if sys.argv[2] == "kill":
    MeanMLP.loss = loss
model = TorchClassifier(MeanMLP, Training(n_epochs=12, batch_size=5), seed=4)
model.keep_in(Path(sys.argv[1]))
model.fit(x, y, (x[np.arange(12)], 1 - y[:12]))
model.save(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_process_killed_by_the_system_ends_with_the_same_file(tmp_path):
    def start(folder, word):
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", SCRIPT, str(folder), word]
        return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"})

    assert start(tmp_path / "whole", "run").returncode == 0
    assert start(tmp_path / "killed", "kill").returncode == -signal.SIGKILL
    assert {p.name for p in (tmp_path / "killed").iterdir()} == {"fit.safetensors"}
    assert start(tmp_path / "killed", "run").returncode == 0
    one, two = (tmp_path / place / "model.safetensors" for place in ("whole", "killed"))
    assert one.read_bytes() == two.read_bytes()


def test_a_classifier_keeps_and_finds_its_own_checkpoint(tmp_path):
    x = Series.of(rows())

    def fit(folder, labels=Y, seed=4, **settings):
        settings = {"n_epochs": 4, "batch_size": 8} | settings
        model = TorchClassifier(MeanMLP, Training(**settings), seed=seed)
        if folder is not None:
            model.keep_in(folder)
        return model.fit(x, labels, (x[np.arange(6)], labels[:6]))

    expected = fit(None)
    assert not list(tmp_path.iterdir())
    for settings in ({"labels": 1 - Y}, {"seed": 5}, {"learning_rate": 0.1}):
        fit(tmp_path, **settings)  # leaves a file that is not of the next fit
        found = fit(tmp_path)
        assert found.history == expected.history
        assert_same(found.network.state_dict(), expected.network.state_dict())
    assert {path.name for path in tmp_path.iterdir()} == {"fit.safetensors"}


LSTM = {"window": 3, "n_communities": 3, "n_hidden": 2, "per_person": 2}


OTHERS = [
    ("lstm-dg", "lstm-h", {}),
    *(
        ("lstm-dg", "lstm-dg", one)
        for one in ({"balance": 0.9}, {"dropout": 0.0}, {"window": 4})
    ),
    *(
        ("rsnlstm", "rsnlstm", one)
        for one in ({"pool": "mean"}, {"mask": False}, {"recurrent_dropout": 0.5})
    ),
]


@pytest.mark.parametrize(("one", "two", "changed"), OTHERS, ids=str)
def test_a_checkpoint_of_other_settings_or_class_is_ignored(
    tmp_path, one, two, changed
):
    """None of these shows in the shapes of the weights, nor in how they start."""
    rng = np.random.default_rng(0)
    x = Series.of([rng.normal(size=(5 + n % 3, 4)).astype("f4") for n in range(12)])
    own = LSTM if one.startswith("lstm") else {"units": (3, 2)}

    def fit(name, folder=None, **settings):
        model = find(name).make(seed=1, n_epochs=2, **own | settings)
        if folder is not None:
            model.keep_in(folder)
        return model.fit(x, Y[:12])

    first = fit(one, tmp_path)
    expected, found = fit(two, **changed), fit(two, tmp_path, **changed)
    assert_same(found.network.state_dict(), expected.network.state_dict())
    assert expected.history != first.history


def test_a_full_disk_or_a_file_in_the_way_is_said(tmp_path, monkeypatch):
    state = ({"a": torch.ones(2)}, {"epoch": 1})
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(FitError, match=r"training cannot be kept .* --work-dir"):
        Checkpoint(path=in_the_way / "fit.safetensors", rows="r").write("k", state)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FitError, match=r"No space left on device\). Make room"):
        Checkpoint(path=tmp_path / "fit.safetensors", rows="r").write("k", state)
