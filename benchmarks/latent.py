"""What latent spaces mean: how long it takes, how often it is right, published ones.

RSA of 300 people, 10 traits and 1,000 permutations in two spaces on one core, against
a loop of scipy's kendalltau in the same run; how often mixtures count planted kinds;
and every trait of the table beside the published latents of a contrastive VAE (ABIDE).

    OMP_NUM_THREADS=1 python benchmarks/latent.py
"""

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kendalltau, ortho_group

from bidsclf.evaluate.comparison import holm
from bidsclf.interpret.latent import (
    BACKGROUND,
    SALIENT,
    Trait,
    mixtures,
    read_trait,
    silhouettes,
    similarities,
)

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("BIDSCLF_SHARED", ROOT.parent / "shared"))
AIM_S = 180.0
PARTS = ("speed", "kinds", "traits", "mixtures")
NAMED = (  # what the source named of its own people, as far as it is there
    "ADOS_Total", "ADOS_Social", "ADOS_Comm", "Current Med Status", "AgeAtScan", "FIQ",
    "Sex", "ScanSite", "ScannerType", "VINELAND_ABC_Standard",
)  # fmt: skip
SPACES = {SALIENT: "salient_vec_abide", BACKGROUND: "background_vec_abide"}
VAE = "vae_vec_abide"
NAMES = (  # codes of categories, whatever they are written in
    "DSMIVTR", "Sex", "ADOS_Module", "SRS_Version", "VINELAND_Informant",
)  # fmt: skip
NO_TRAITS = (  # numbers of people, free text, and what stands there twice
    "Unnamed: 0", "index", "BIDS_ID", "Anonymized ID", "Subject Type", "Visit", "SubID",
    "DxGroup", "Comorbidity", "Medication Name", "Medication Name.1", "ScannerID",
    "ScanSiteID",
)  # fmt: skip
D = 16


def invented(n: int) -> tuple[dict[str, np.ndarray], list[Trait]]:
    """Return two spaces and ten traits that are numbers without ties: the slowest."""
    rng = np.random.default_rng(n)
    spaces = {name: rng.normal(size=(n, D)) for name in SPACES}
    traits = [Trait(f"t{i}", rng.normal(size=n), is_number=True) for i in range(10)]
    return spaces, traits


def peer(spaces: dict[str, np.ndarray], traits: list[Trait], n_times: int) -> float:
    """Return seconds of one tau by scipy."""
    rng, taken = np.random.default_rng(0), []
    for trait in traits[:n_times]:
        apart, placed = trait.distances(), pdist(spaces[SALIENT])
        order = rng.permutation(len(apart))
        start = time.perf_counter()
        told = squareform(apart[np.ix_(order, order)], checks=False)
        kendalltau(placed, told, method="asymptotic")
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def speed(n_permutations: int) -> bool:
    similarities(*invented(10), n_permutations=1, seed=0)  # compiles
    took = 0.0
    for n in (100, 200, 300):
        spaces, traits = invented(n)
        start = time.perf_counter()
        similarities(spaces, traits, n_permutations=n_permutations, seed=0)
        took = (time.perf_counter() - start) * 1000 / n_permutations
        one, scipy = took / (10 * 2 * 1000), peer(spaces, traits, 10)
        print(
            f"{n} people: {took:.1f} s for 10 traits x 1,000 permutations x 2 spaces,"
            f" {1e3 * one:.2f} ms a tau; scipy {1e3 * scipy:.2f} ms,"
            f" {scipy / one:.1f} times as long"
        )
    spaces, traits = invented(300)
    start = time.perf_counter()
    silhouettes(spaces, traits, n_permutations=n_permutations, seed=0)
    silhouette = (time.perf_counter() - start) * 1000 / n_permutations
    print(f"300 people: {silhouette:.1f} s for the silhouettes of the same")
    passed = took <= AIM_S
    print(
        f"{'PASS' if passed else 'FAIL'}: {took:.0f} s on a core, aim {AIM_S:.0f} s\n"
    )
    return passed


def crowds(rng: np.random.Generator, n: int) -> dict[tuple[str, int], np.ndarray]:
    """Return people in 16 axes of falling width, by population and number of kinds."""
    wide, width = rng.normal(size=(n, D)), np.geomspace(1, 0.15, D)
    first = np.eye(D)[0]
    found = {
        ("normal", 1): wide,
        ("skewed (log-normal, s = 0.5)", 1): wide * (1 - first)
        + np.outer(rng.lognormal(0, 0.5, n) / 0.6, first),
        ("even, twice as long", 1): wide * (1 - first)
        + np.outer(rng.uniform(-3.4, 3.4, n), first),
        ("heavy tails (t, 5 df)", 1): wide / np.sqrt(rng.chisquare(5, n) / 5)[:, None],
    }
    for kinds in (2, 3):
        angle = 2 * np.pi * np.arange(kinds) / kinds
        for apart in (4, 6):
            places = np.zeros((kinds, D))
            round_ = np.column_stack([np.cos(angle), np.sin(angle)])
            places[:, :2] = round_ * apart / 2 / np.sin(np.pi / kinds)
            of = rng.integers(kinds, size=n)
            found[f"{kinds} kinds, {apart} sd apart", kinds] = wide + places[of]
    along = rng.uniform(-1.5, 1.5, n)
    bent = np.outer(along, first) + np.outer(along**2 / 2, np.eye(D)[1])
    found = {key: one * width for key, one in found.items()}
    found["bent line, one sd of noise for ten of length", 1] = 0.3 * wide + bent
    turn = ortho_group.rvs(D, random_state=rng)
    return {key: one @ turn for key, one in found.items()}


def kinds(n_seeds: int) -> bool:
    """Print how often mixtures find the number of kinds."""
    rows = []
    for n in (60, 100, 300):
        for seed in range(n_seeds):
            for (name, truth), people in crowds(
                np.random.default_rng([seed, n]), n
            ).items():
                table = mixtures(people, most=6, seed=0)
                full, kinds = table[table["shape"] == "full"], table[table["is_best"]]
                ways = {"is_best": kinds, "least bic": table, "full only": full}
                for way, rows_of in ways.items():
                    found = rows_of.loc[rows_of["bic"].idxmin(), "n_components"]
                    rows.append((name, way, n, found == truth))
    table = pd.DataFrame(rows, columns=["population", "way", "n", "right"])
    by = table.groupby(["population", "way", "n"], sort=False)["right"].mean()
    print(f"share of {n_seeds} draws in which the number of kinds is found")
    print(by.unstack(["way", "n"]).round(2).to_string(), "\n")
    return True


def published() -> tuple[dict[str, np.ndarray], list[Trait]]:
    """Return latents (10, n, d) of the patients and all traits of their table."""
    folder = SHARED / "data" / "cvae"
    people = pd.read_csv(folder / "ABIDE_legend_S982.csv", dtype=str)
    is_patient = (people["Subject Type"] == "PATIENT").to_numpy()
    with np.load(folder / "latent_vecs10.npz") as kept:
        names = SPACES | {"vae": VAE}
        draws = {space: kept[key][:, is_patient] for space, key in names.items()}
    cells = people[is_patient].drop(columns=list(NO_TRAITS))
    read = (read_trait(n, cells[n], is_category=n in NAMES) for n in cells)
    return draws, [trait for trait in read if trait.is_said]


def tell(n_permutations: int) -> bool:
    """Print what traits lie in the published latents, in draw 0 and over all."""
    draws, traits = published()
    first = {space: draws[space][0] for space in SPACES}
    told = {"seed": 0, "n_permutations": n_permutations}
    rsa, apart = similarities(first, traits, **told), silhouettes(first, traits, **told)
    over = [
        similarities({s: draws[s][i] for s in SPACES}, traits, n_permutations=1, seed=0)
        for i in range(len(draws[SALIENT]))
    ]
    rsa["low"] = np.min([one["tau"] for one in over], axis=0)
    rsa["high"] = np.max([one["tau"] for one in over], axis=0)
    rsa[["silhouette", "p_s"]] = apart[["silhouette", "p"]]
    is_named = rsa["trait"].isin(NAMED)
    rsa["p_holm"] = holm(rsa["p"].where(is_named).to_numpy(float))
    rsa["p_s_holm"] = holm(rsa["p_s"].where(is_named).to_numpy(float))
    print(rsa.set_index(["trait", "space"]).round(4).to_string(), "\n")
    return True


def count() -> bool:
    """Print how many kinds of patients each published space holds, of each draw."""
    for space, latents in published()[0].items():
        for number, latent in enumerate(latents):
            table = mixtures(latent, seed=0)
            least = table.loc[table.groupby("shape")["bic"].idxmin()]
            best = table.loc[table["is_best"], "n_components"].item()
            by_shape = dict(zip(least["shape"], least["n_components"], strict=True))
            apart = round(table.loc[table["bic"].idxmin(), "apart"], 1)
            print(f"{space}, draw {number}: {best}; least BIC {by_shape}, {apart} sd")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    print(f"python {' '.join(sys.argv)}")
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    print(f"{os.cpu_count()} cores, OMP_NUM_THREADS = {threads}\n")
    is_there = (SHARED / "data" / "cvae").is_dir()
    passed = "speed" not in given.only or speed(given.permutations)
    if "kinds" in given.only:
        kinds(given.seeds)
    if "traits" in given.only and is_there:
        tell(given.permutations)
    if "mixtures" in given.only and is_there:
        count()
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
