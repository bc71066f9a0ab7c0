"""Made-up tables of what models look at, as the group level writes them."""

import shutil
from itertools import product

import numpy as np
import pandas as pd
import pytest
from nibabel.nifti1 import Nifti1Image

from bidsclf.files import store
from bidsclf.files.paths import map_file
from bidsclf.report.group import group_page
from bidsclf.report.tables import read_analysis

N_REGIONS, N_COMMUNITIES, N_FOLDS, N_EPOCHS = 12, 6, 3, 8
REGIONS = [f"{at:03d}" for at in range(1, N_REGIONS + 1)]
NETWORKS = ("Default", "Limbic", "Visual")
RECURRENT = ("lstm-dg", "lstm-h")


def embedding_of(model):
    """Return metrics before and after embeddings were harmonized."""
    metrics = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc")
    return pd.DataFrame(
        {
            "model": model,
            "metric": metrics,
            "before": 0.61,
            "after": 0.66,
            "difference": 0.05,
            "low": 0.01,
            "high": 0.09,
            "n": 120,
        }
    )


def learning_of(model="lstm-dg", monitor="last", parts=("discriminative",)):
    """Return curves whose validation loss is lowest at epoch 4 of 8."""
    rows = []
    for fold in range(1, N_FOLDS + 1):
        kept = N_EPOCHS if monitor == "last" else 4
        for epoch in range(1, N_EPOCHS + 1):
            train, valid = 1 / epoch, 0.5 + 0.02 * (epoch - 4) ** 2 + 0.01 * fold
            accuracy = (0.5 + 0.05 * epoch, 0.6 + 0.001 * fold)
            told = {"loss": (train, valid)} | dict.fromkeys(parts, (train, valid))
            told |= {"accuracy": accuracy, "auc": (np.nan, 0.65)}
            for measure, (one, other) in told.items():
                row = (model, 1, fold, epoch, measure, one, other, int(epoch == kept))
                rows.append(row)
    names = "model repeat fold epoch measure train valid kept"
    return pd.DataFrame(rows, columns=names.split())


def regions_of(rng):
    side = rng.uniform(-60, 60, (N_REGIONS, 3)).round(1)
    table = pd.DataFrame(side, columns=list("xyz"))
    table.insert(0, "region", REGIONS)
    table["network"] = [NETWORKS[at % 3] for at in range(N_REGIONS)]
    table.loc[0, ["x", "y", "z", "network"]] = [np.nan, np.nan, np.nan, None]
    return table


def attributions_of(model, method, rng):
    """Return shares; the last region moves nothing."""
    size = [*rng.dirichlet(np.ones(N_REGIONS - 1)), 0.0]
    signed = np.array(size) * rng.choice([-1, 1], N_REGIONS)
    values = {"signed": signed, "absolute": size, "sd": 0.01, "n_folds": N_FOLDS}
    return pd.DataFrame({"model": model, "method": method, "region": REGIONS, **values})


def patterns_of(model, rng):
    first, second = np.triu_indices(N_REGIONS, k=1)
    return pd.DataFrame(
        {
            "model": model,
            "region_a": np.array(REGIONS, object)[first],
            "region_b": np.array(REGIONS, object)[second],
            "pattern": rng.normal(size=first.size) / 10,
            "sd": 0.02,
        }
    )


def communities_of(model, rng):
    """Return communities.tsv and influence.tsv of three folds and everyone."""
    weights, influence = [], []
    for fold in range(N_FOLDS + 1):
        size = rng.uniform(1, 2, N_COMMUNITIES)
        rank = (-size).argsort().argsort() + 1
        for community in range(1, N_COMMUNITIES + 1):
            weight = rng.uniform(0, 1, N_REGIONS).round(3)
            member = (weight > 0.6).astype(int)
            own = {"model": model, "fold": fold, "community": community}
            table = pd.DataFrame(
                {"region": REGIONS, "weight": weight, "member": member}
            )
            weights.append(table.assign(**own))
            at = community - 1
            line = (model, fold, community, size[at], rank[at], member.sum())
            influence.append(line)
    names = "model fold community influence rank n_members"
    columns = ["model", "fold", "community", "region", "weight", "member"]
    table = pd.concat(weights, ignore_index=True)[columns]
    return table, pd.DataFrame(influence, columns=names.split())


def robustness_of():
    rows = []
    methods = {"lstm-dg": 0.7, "lstm-h": 0.6, "parafac": 0.5}
    for method, middle in methods.items():
        for fold in range(1, N_FOLDS + 1):
            r = np.nan if fold == 1 else middle + 0.01 * fold
            rows.append((method, fold, r, r - 0.1, 20 * middle, 6, 0))
    names = "method fold correlation dice mean_size n_compared n_skipped"
    return pd.DataFrame(rows, columns=names.split())


AFFINE = np.diag([12.0, 14.0, 12.0, 1.0])
AFFINE[:3, 3] = [-66, -98, -60]
PEAK = (8, 8, 7)  # voxel: 30, 14, 24 mm


def maps_of(model):
    """Return maps.tsv, of which the images have their peak at PEAK."""
    x, y, z = (AFFINE @ [*PEAK, 1])[:3]
    rows = [
        (model, "gradient x input", 40, 5, x, y, z, 0.04, 0.0012, 0.71),
        (model, "occlusion", 36, 5, x, y, z, 0.5, -0.31, 0.64),
    ]
    names = "model method n_people n_folds x y z size signed correlation"
    return pd.DataFrame(rows, columns=names.split())


def write_maps(folder, model="cnn3d"):
    """Write the images of magnitudes and the files beside them."""
    at = np.indices((12, 12, 12))
    middle, away = (
        sum((at[axis] - centre[axis]) ** 2 for axis in range(3))
        for centre in ((5.5, 5.5, 5.5), PEAK)
    )
    for label, width in (("gradient", 3), ("occlusion", 9)):
        values = (0.05 + np.exp(-away / width)) * (middle < 30)
        path = folder / map_file(model, f"{label}size")
        path.parent.mkdir(exist_ok=True)
        Nifti1Image(values.astype(np.float32), AFFINE).to_filename(path)
        about = {"Space": "MNI152NLin6Asym", "CubeVoxels": 3, "StrideVoxels": 2}
        store.write_json(folder / map_file(model, f"{label}size", ".json"), about)


def explained_tables(seed=3):
    """Return every table of two recurrent networks and one linear model."""
    rng = np.random.default_rng(seed)
    both = {model: communities_of(model, rng) for model in RECURRENT}
    told = {
        name: pd.concat([tables[at] for tables in both.values()])
        for at, name in enumerate(("communities", "influence"))
    }
    each = list(product(RECURRENT, range(1, N_COMMUNITIES + 1)))
    known = [
        (model, 0, number, name, 0.2 * at + 0.1, 0.3)
        for model, number in each
        for at, name in enumerate(NETWORKS)
    ]
    terms = [
        (model, number, f"term{at}", 0.3 - 0.05 * at, at)
        for model, number in each
        for at in range(1, 8)
    ]
    time = {"volume": np.arange(1, 31), "absolute": 1 / 30, "sd": 0.002}
    shares = [attributions_of(m, "integrated gradients", rng) for m in RECURRENT]
    shares.append(attributions_of("fc-svm", "haufe", rng))
    return told | {
        "embedding": embedding_of("meanmlp"),
        "learning": pd.concat(
            [learning_of(), learning_of("meanmlp", "loss", parts=())]
        ),
        "regions": regions_of(rng),
        "attributions": pd.concat(shares),
        "attribution_time": pd.concat(
            [pd.DataFrame(time | {"model": model}) for model in RECURRENT]
        ),
        "patterns": patterns_of("fc-svm", rng),
        "maps": maps_of("cnn3d"),
        "overlap": pd.DataFrame(
            known, columns=["model", "fold", "community", "network", "share", "dice"]
        ),
        "robustness": robustness_of(),
        "decoding": pd.DataFrame(
            terms, columns=["model", "community", "term", "correlation", "rank"]
        ),
    }


SETTINGS = {
    "learning_rate": 0.001,
    "batch_size": 32,
    "weight_decay": 0.0,
    "n_epochs": N_EPOCHS,
    "patience": 10,
    "per_person": 10,
    "score": "share",
}
DECODED = "Decoded against v7.npz by NiMARE."


def written(folder):
    """Write the tables into an analysis, with networks in its list of models."""
    for name, table in explained_tables().items():
        store.write_table(folder / f"{name}.tsv", table)
    write_maps(folder)
    about = store.read_json(folder / "analysis.json")
    fits = [("lstm-dg", "last", N_EPOCHS), ("meanmlp", "loss", 4)]
    about["notes"] = [note for note in about["notes"] if note["model"] != "meanmlp"]
    about["notes"] += [
        {"model": model, "unit": model, "notes": {"epoch": epoch, "monitor": monitor}}
        for model, monitor, epoch in fits
    ]
    about["model_settings"] = {
        "lstm-dg": SETTINGS | {"window": 30, "monitor": "last"},
        "meanmlp": SETTINGS
        | {"monitor": "loss", "score": "mean", "weight_decay": 1e-4, "n_epochs": 100},
    }
    about["explained_notes"] = [DECODED]
    store.write_json(folder / "analysis.json", about)
    return folder


@pytest.fixture(scope="session")
def tables(drawn_study, tmp_path_factory):
    """Return an analysis with every table and no page; not to be changed."""
    folder = tmp_path_factory.mktemp("tables")
    _copied(drawn_study, folder)
    return written(folder)


@pytest.fixture
def told(tables, tmp_path):
    """Return a copy of it, to be changed."""
    _copied(tables, tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def drawn(tables, tmp_path_factory):
    """Return an analysis with every table and its pages; not to be changed."""
    folder = tmp_path_factory.mktemp("explained")
    _copied(tables, folder)
    for name in ("communities", "influence", "attributions"):  # each brain is a second
        table = store.read_table(folder / f"{name}.tsv", text=("region",))
        store.write_table(folder / f"{name}.tsv", table[table["model"] != "lstm-h"])
    group_page(folder)
    return folder


def _copied(source, folder):
    for file in [*source.glob("*.tsv"), source / "analysis.json"]:
        shutil.copy(file, folder)
    if (source / "maps").exists():
        shutil.copytree(source / "maps", folder / "maps")


@pytest.fixture
def changed(told):
    """Return a function that changes one table and reads the analysis."""

    def change(name, how):
        path = told / f"{name}.tsv"
        text = ("region", "region_a", "region_b")
        store.write_table(path, how(store.read_table(path, text=text)))
        return read_analysis(told)

    return change
