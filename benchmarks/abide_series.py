"""The series models at the four largest ABIDE sites, beside the paper's figures.

Each site is one group analysis by the command line: 10 folds, every model on the
same folds, settings as they stand. dtl learns first from the controls of all other
sites. Nothing is chosen here; the settings of the LSTMs were chosen on people of
Yale and Leuven (RESULTS.md). The figures of Dvornek et al. (2019), tables 1 and 2,
are of other people of these sites, another pipeline and another atlas.

    bidsclf-data abide-pcp SOURCE DATA
    OMP_NUM_THREADS=1 python benchmarks/abide_series.py DATA --out OUT --nprocs 2

In parts: ``--sites NYU``, ``--models hmm dtl --part b``; ``--tables`` only reads OUT.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t

from bidsclf.cli import main as bidsclf
from bidsclf.evaluate.paired import paired_t, share_tested, split_metrics

SITES = {
    "NYU": ("NYU",),
    "UM": ("UM_1", "UM_2"),
    "USM": ("USM",),
    "UCLA": ("UCLA_1", "UCLA_2"),
}
MODELS = (
    "fc-svm", "lstm-s", "lstm-d", "lstm-h", "lstm-dg", "hmm", "dtl", "meanmlp",
    "control-phenotype", "control-motion", "control-site",
)  # fmt: skip
METRICS = ("accuracy", "sensitivity", "specificity", "auc")
PAPER = {  # accuracy, TPR, TNR (%), AUC; 'hmm' and 'dtl' are others', as it cites them
    "NYU": {
        "lstm-s": "69.5 52.4 83.1 .720",
        "fc-svm": "70.7 54.8 83.2 .783",
        "hmm": "70.6 61.6 66.7 .712",
        "lstm-d": "70.7 48.9 86.7 .746",
        "lstm-h": "68.0 52.0 80.1 .779",
        "lstm-dg": "72.2 57.4 84.1 .772",
    },
    "UM": {
        "lstm-s": "69.8 56.7 74.0 .740",
        "fc-svm": "69.2 46.7 89.8 .713",
        "hmm": "73.4 68.5 76.9 .738",
        "dtl": "67.2 68.9 67.6 .67",
        "lstm-d": "67.0 52.9 78.6 .738",
        "lstm-h": "69.2 57.9 78.7 .777",
        "lstm-dg": "74.8 60.8 85.6 .774",
    },
    "USM": {
        "lstm-s": "67.5 79.8 56.2 .659",
        "fc-svm": "67.3 86.2 43.5 .721",
        "dtl": "70.4 72.5 67.0 .73",
        "lstm-d": "64.7 75.3 61.8 .682",
        "lstm-h": "76.4 85.6 65.8 .757",
        "lstm-dg": "73.2 82.8 61.8 .746",
    },
    "UCLA": {
        "lstm-s": "62.7 74.4 51.5 .691",
        "fc-svm": "61.7 73.3 47.7 .624",
        "dtl": "62.3 55.9 68.0 .60",
        "lstm-d": "63.6 71.8 51.3 .662",
        "lstm-h": "61.6 66.6 54.7 .705",
        "lstm-dg": "67.4 67.5 62.2 .715",
    },
}
MINE = "lstm-dg"


def words(site: str, args: argparse.Namespace) -> list[str]:
    """Return the command line of a site's analysis."""
    names = SITES[site]
    study = " or ".join(f"site == '{name}'" for name in names)
    others = " and ".join(f"site != '{name}'" for name in names)
    models = [m for m in args.models if m != "control-site" or len(names) > 1]
    name = site.lower() + args.part
    line = [str(args.data), str(args.out), "group", "--analysis-id", name]
    line += ["--include", study, "--positive-label", "autism", "--atlases", "cc200"]
    line += ["--models", *models, "--cv", "kfold", "--n-folds", str(args.n_folds)]
    line += ["--nprocs", str(args.nprocs), "--device", "cpu"]
    if args.work is not None:
        line += ["--work-dir", str(args.work)]
    if "dtl" in models:
        line += ["--source", f"diagnosis == 'control' and {others}"]
    if args.settings:
        line += ["--model-settings", *args.settings]
    return line


def shown(metrics: pd.DataFrame, model: str) -> Iterator[str]:
    """Yield each metric: mean (SD) of folds, and pooled with its interval."""
    rows = metrics[metrics["model"] == model]
    for name in METRICS:
        of = rows[rows["metric"] == name].drop_duplicates("scope").set_index("scope")
        fold, pooled = of.loc["mean of folds"], of.loc["pooled"]
        scale, digits = (1, 3) if name == "auc" else (100, 1)

        def said(value: float, scale: int = scale, digits: int = digits) -> str:
            return f"{scale * value:.{digits}f}"

        yield f"{said(fold['estimate'])} ({said(fold['sd'])})"
        low, high = said(pooled["low"]), said(pooled["high"])
        yield f"{said(pooled['estimate'])} [{low}, {high}]"


def tables(folder: Path, site: str) -> dict[str, pd.DataFrame]:
    """Join what the analyses of a site wrote, all on the same folds."""
    done = (folder / "derivatives").glob(f"{site.lower()}*/metrics.tsv")
    places = sorted(path.parent for path in done)
    found = {
        name: [pd.read_csv(place / f"{name}.tsv", sep="\t") for place in places]
        for name in ("predictions", "metrics", "folds")
    }
    for other in found["folds"]:
        pd.testing.assert_frame_equal(other, found["folds"][0])
    joined = {name: pd.concat(found[name]) for name in ("predictions", "metrics")}
    return joined | {"folds": found["folds"][0]}


def print_site(site: str, found: dict[str, pd.DataFrame]) -> None:
    """Print the table of a site, as Markdown."""
    predictions, metrics = found["predictions"], found["metrics"]
    people = predictions.drop_duplicates("participant_id")
    print(f"\n### {site}, {len(people)} people, {people['truth'].mean():.1%} autism\n")
    print(
        "| model | accuracy, folds | pooled | TPR, folds | pooled | TNR, folds |"
        " pooled | AUC, folds | pooled | paper: accuracy TPR TNR AUC |"
    )
    print("|" + "---|" * 10)
    for model in predictions["model"].unique():
        cells = [model, *shown(metrics, model), PAPER[site].get(model, "")]
        print("| " + " | ".join(cells) + " |")


def by_split(found: dict[str, pd.DataFrame], model: str) -> dict[str, np.ndarray]:
    """Return the metrics of each fold, in the order of folds."""
    rows = found["predictions"]
    rows = rows[rows["model"] == model]
    split = rows.groupby(["repeat", "fold"]).ngroup().to_numpy()
    return split_metrics(split, rows["truth"].to_numpy(), rows["score"].to_numpy())


def combined(gaps: list[np.ndarray], shares: list[float]) -> tuple[float, ...]:
    """Average independent sites: mean, standard error, and degrees of freedom.

    Within a site the folds share people, and the variance of their mean is Nadeau
    and Bengio's; sites share nobody, so their variances add. The degrees of
    freedom are Welch and Satterthwaite's.
    """
    known = [gap[np.isfinite(gap)] for gap in gaps]
    inverse = np.array([1 / len(gap) + s for gap, s in zip(known, shares, strict=True)])
    errors = inverse * [gap.var(ddof=1) for gap in known] / len(known) ** 2
    error, left = errors.sum(), np.array([len(gap) - 1 for gap in known])
    mean = float(np.mean([gap.mean() for gap in known]))
    return mean, float(np.sqrt(error)), float(error**2 / (errors**2 / left).sum())


def print_tests(found: dict[str, dict[str, pd.DataFrame]]) -> None:
    """Compare lstm-dg with each other model over all folds of all sites."""
    shares = [share_tested(one["predictions"], one["folds"]) for one in found.values()]
    everywhere = [set(one["predictions"]["model"]) for one in found.values()]
    others = [m for m in MODELS if m != MINE and all(m in one for one in everywhere)]
    print(f"\n### {MINE} against each, over the folds of {', '.join(found)}\n")
    print(
        "| against | metric | difference [95 %, corrected] | p, one-tailed, as the"
        " paper | p, one-tailed, corrected | p, two-sided, corrected |"
    )
    print("|---|---|---|---|---|---|")
    for other in others:
        for metric in ("accuracy", "auc"):
            gaps = [
                by_split(one, MINE)[metric] - by_split(one, other)[metric]
                for one in found.values()
            ]
            mean, error, freedom = combined(gaps, shares)
            half, above = t.ppf(0.975, freedom) * error, t.sf(mean / error, freedom)
            print(
                f"| {other} | {metric} | {mean:+.3f} [{mean - half:+.3f},"
                f" {mean + half:+.3f}] | {paired_t(np.concatenate(gaps)).p:.3f}"
                f" | {above:.3f} | {2 * min(above, 1 - above):.3f} |"
            )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="what bidsclf-data abide-pcp wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="work folder, to go on after a stop")
    parser.add_argument("--sites", nargs="+", choices=SITES, default=list(SITES))
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--part", default="", help="added to the analysis' name")
    parser.add_argument("--settings", nargs="*", help="as --model-settings takes them")
    parser.add_argument("--n-folds", type=int, default=10)
    parser.add_argument("--nprocs", type=int, default=1)
    parser.add_argument("--tables", action="store_true", help="fit nothing")
    return parser.parse_args()


def main() -> int:
    """Run the sites, then print all tables; return the worst exit code."""
    args = arguments()
    codes = [0]
    if not args.tables:
        codes += [bidsclf(words(site, args)) for site in args.sites]
    found = {site: tables(args.out, site) for site in args.sites}
    for site, of_site in found.items():
        print_site(site, of_site)
    if MINE in args.models:
        print_tests(found)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
