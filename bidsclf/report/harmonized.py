"""What harmonization did to the tested people, and whether it hid their site."""

import pandas as pd

from bidsclf.report.embedding import embedded
from bidsclf.report.tables import Analysis, best_model, select
from bidsclf.report.verdict import Verdict

MOODS = ("bad", "", "good")  # the worst of several counts


def method_of(analysis: Analysis) -> str:
    """Return how site effects are removed; ``none`` in an older analysis."""
    return str(analysis.part("harmonize").get("method", "none"))


def done_to(analysis: Analysis, model: str | None = None) -> dict[str, int]:
    """Return how many tested people each way of harmonizing was done to.

    Of one model, or of any; empty in an older analysis, which does not say.
    """
    rows = analysis.tables["predictions"]
    if "harmonized" not in rows:
        return {}
    rows = rows if model is None else select(rows, model=model)
    return rows.groupby("harmonized")["participant_id"].nunique().to_dict()


def summary(analysis: Analysis) -> Verdict:
    """Say what was done to the best model's features, and whether sites show.

    There is no mood where no tested person was of a site that was learned: the
    screening, on people of known sites, then says nothing of them.
    """
    table, method = analysis.table("sites"), method_of(analysis)
    best = best_model(analysis.metrics)
    done = done_to(analysis, best) if best else {}
    what = "embeddings" if best in embedded(analysis) else "features"
    head = "Not harmonized."
    if method != "none":
        head = _headline(method, best, done, what)
    if table is None:
        unknown = (
            "Whether sites can still be told apart was not measured (no sites.tsv)."
        )
        return Verdict(head, "", [unknown])
    moods, sentences = [], []
    for features, rows in table.groupby("features", sort=False):
        mood, sentence = _sentence(rows)
        sentences.append(f"{features}: {sentence}")
        moods.append(mood)
    is_after = bool((table["stage"] == "after").any())
    if is_after and analysis.part("folds").get("scheme") == "loso":
        sentences.append(
            "That was measured in people of sites that were learned. The people tested"
            " here are of sites left out, of whom it says nothing."
        )
    if is_after and set(done) == {"none"}:
        sentences.append(f"{best} does not see the harmonized features.")
    is_told = method == "none" or "site" in done
    return Verdict(head, min(moods, key=MOODS.index) if is_told else "", sentences)


def _headline(method: str, best: str | None, done: dict[str, int], what: str) -> str:
    """Say what was done to the people whom the best model was tested on."""
    if best is None:
        return f"Harmonization: {method}; no model of the brain was fitted."
    if not done:
        return f"Harmonization: {method}. What was done to whom is not recorded."
    if set(done) == {"none"}:
        return f"{best} was not harmonized: {method} does not act on what it reads."
    if set(done) == {"identity"}:
        return (
            f"The {what} of {best} were not harmonized: everyone tested was of a site"
            f" that {method} had not learned, and was left as is."
        )
    if set(done) == {"batch"}:
        return (
            f"The {what} of {best} were harmonized with {method}, each site left out"
            " by what its own tested people show (transductive, without labels)."
        )
    said = f"The {what} of {best} were harmonized with {method}."
    if "identity" in done:
        said += (
            f" {done['identity']} people of sites not learned were left as they are."
        )
    if "batch" in done:
        said += (
            f" {done['batch']} people of sites not learned were corrected by what they"
            " show themselves (transductive, without labels)."
        )
    return said


def _sentence(rows: pd.DataFrame) -> tuple[str, str]:
    """Return good where the sites are hidden at last, and the words."""
    last = rows.iloc[-1]
    mood = "good" if _is_hidden(last) else "bad"
    told = [f"{row['accuracy']:.0%} {row['stage']}" for row in rows.to_dict("records")]
    said = (
        f"the site of a person is named rightly for {', '.join(told)} harmonization;"
        f" always naming the largest site gives {last['chance']:.0%}."
    )
    alike = (
        f"counting each site alike, {last['balanced_accuracy']:.0%} are right where"
        f" chance gives {1 / last['n_sites']:.0%}"
    )
    if last["stage"] == "before":
        shows = (
            "Little of the site shows"
            if mood == "good"
            else "The features show the site"
        )
        return mood, f"{said} {shows}."
    if mood == "bad":
        return mood, f"{said} Part of the site still shows: {alike}."
    if _is_overshot(last):
        end = (
            "Less often than by chance: the correction overshoots in people not learned"
        )
        return "", f"{said} {end} from; {alike}."
    return mood, f"{said} No more of the site shows than by chance, to a straight line."


def _is_hidden(row: pd.Series) -> bool:
    """Tell whether accuracy and balanced accuracy are both within reach of chance.

    The classifier takes sites as equally frequent: it may know small sites and
    still be less often right than one who always names the largest. Balanced
    accuracy is given the half width of the interval of the accuracy, which is
    rather too narrow: doubt counts as a site that shows.
    """
    knows_small = row["balanced_accuracy"] - _reach(row) > 1 / row["n_sites"]
    return bool(row["low"] <= row["chance"] and not knows_small)


def _is_overshot(row: pd.Series) -> bool:
    """Tell whether even the upper end, counting each site alike, is below chance."""
    return bool(row["balanced_accuracy"] + _reach(row) < 1 / row["n_sites"])


def _reach(row: pd.Series) -> float:
    return float(row["high"] - row["low"]) / 2
