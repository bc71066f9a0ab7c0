"""The page on what models look at: what it shows is what the tables hold."""

import re

import numpy as np
import pytest

from bidsclf.files import store
from bidsclf.report import explanation, figures
from bidsclf.report.attribution import at_chance, gradients, patterns
from bidsclf.report.card import card_text
from bidsclf.report.communities import communities, robustness
from bidsclf.report.explanation import NAME, explanation_page, is_told
from bidsclf.report.group import group_page
from bidsclf.report.latent import PARTS
from bidsclf.report.tables import EXPLAINED, read_analysis
from bidsclf.report.verdict import Verdict

ELSEWHERE = {"source", "ablation", "latents", *PARTS}  # told on other pages
TABLES = sorted(set(EXPLAINED) - ELSEWHERE)


def cells(rows, column):
    return [dict(row.cells)[column] for row in rows.rows]


def text_of(folder, name=NAME):
    return (folder / name).read_text(encoding="utf-8")


def page_of(analysis):
    return explanation_page(analysis)[0].read_text(encoding="utf-8")


def only(told, model):
    [one] = [one for one in told if one["model"] == model]
    return one


def test_the_page_is_linked_whole_and_small(drawn):
    assert f'<a href="{NAME}">' in text_of(drawn, "report.html")
    text = text_of(drawn)
    assert '<a href="report.html">' in text
    assert len(text) < 4e6
    for hole in ("nan", "None", "Undefined", "{{", "{%"):
        assert f" {hole}" not in text, hole
        assert f">{hole}" not in text, hole
    names = {file.stem for file in (drawn / "figures").glob("*.svg")}
    assert {"regions-lstm-dg", "edges-fc-svm", "communities-lstm-dg-1"} <= names
    assert {"learning-lstm-dg", "volumes-lstm-dg", "communities-robustness"} <= names


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (("maps",), "places in the brain"),
        (("attributions", "patterns"), "regions and edges"),
        (("attributions", "influence", "maps"),
         "regions, communities and places in the brain"),
        (("attributions", "patterns", "influence", "maps"),
         "regions, edges, communities and places in the brain"),
        ((), ""),
    ],
)  # fmt: skip
def test_report_and_card_name_what_the_page_shows(told, kinds, said):
    for name in {"attributions", "patterns", "influence", "maps"} - set(kinds):
        (told / f"{name}.tsv").unlink()
    analysis = read_analysis(told)
    assert explanation.shown(analysis) == said
    assert is_told(analysis) == bool(said)
    card = card_text(analysis, Verdict("fc-svm: AUC 0.9."))
    assert (f"explanation.html shows {said} on average" in card) == bool(said)


@pytest.mark.usefixtures("undrawn")
def test_the_link_to_maps_alone_speaks_of_places(told):
    for name in ("attributions", "patterns", "influence"):
        (told / f"{name}.tsv").unlink()
    group_page(told)
    link = f'<a href="{NAME}">Places in the brain that move the scores</a>'
    assert link in text_of(told, "report.html")


def test_the_page_says_what_it_does_not_mean(drawn):
    assert "not of the causes" in text_of(drawn)
    assert "No test was made on this page." in text_of(drawn)


@pytest.mark.usefixtures("undrawn")
def test_the_regions_with_most_come_first_with_their_shares(told):
    analysis = read_analysis(told)
    table = analysis.table("attributions").query("model == 'lstm-h'")
    first = table.sort_values("absolute", ascending=False).head(10)
    one = only(gradients(analysis), "lstm-h")
    assert cells(one["table"], "region") == first["region"].tolist()
    shown = [f"{share:.2%}" for share in first["absolute"]]
    assert cells(one["table"], "share of all") == shown
    towards = ["autism" if v > 0 else "control" for v in first["signed"]]
    assert cells(one["table"], "moves the score towards") == towards
    assert f"hold {first['absolute'].sum():.1%} of what" in one["sentence"]
    assert "if all were alike, they would hold 83.3%" in one["sentence"]  # 10 of 12


@pytest.mark.usefixtures("undrawn")
def test_a_region_that_moves_nothing_is_named_apart(told):
    one = only(gradients(read_analysis(told)), "lstm-dg")
    assert one["missing"].endswith("1 region moves no score, as one that never"
                                   " varies: 012")  # fmt: skip
    assert "012" not in cells(one["table"], "region")


@pytest.mark.usefixtures("undrawn")
def test_a_missing_value_is_not_a_share(changed):
    def change(table):
        return table.assign(
            absolute=table["absolute"].where(table["region"] != "003"),
            signed=np.nan,
            sd=np.nan,
        )

    one = only(gradients(changed("attributions", change)), "lstm-dg")
    assert "003" not in cells(one["table"], "region")
    assert set(cells(one["table"], "SD over folds")) == {"n/a"}
    assert set(cells(one["table"], "moves the score towards")) == {"n/a"}


def test_regions_are_drawn_where_they_lie_the_first_in_colour(told, monkeypatch):
    drawn = {}

    def brain(points, values, title, *, n_coloured=None):
        drawn[title] = (points, values, n_coloured)
        return "<svg></svg>"

    monkeypatch.setattr(figures, "brain", brain)
    monkeypatch.setattr(figures, "over_volumes", lambda *_: "<svg></svg>")
    analysis = read_analysis(told)
    gradients(analysis)
    [(points, values, n)] = [v for k, v in drawn.items() if k.startswith("lstm-h")]
    table = analysis.table("attributions").query("model == 'lstm-h'")
    table = table.merge(analysis.table("regions").dropna(), on="region")
    table = table[table["absolute"] > 1 / 12].sort_values("absolute", ascending=False)
    np.testing.assert_array_equal(points, table[["x", "y", "z"]])
    np.testing.assert_allclose(np.abs(values), table["absolute"])
    np.testing.assert_array_equal(np.sign(values), np.sign(table["signed"]))
    assert n == len(table)


@pytest.mark.usefixtures("undrawn")
def test_without_positions_there_are_bars_and_the_note(told):
    (told / "regions.tsv").unlink()
    analysis = read_analysis(told)
    one = only(gradients(analysis), "lstm-dg")
    assert one["brain"] is None
    assert one["bars"]
    assert "network" not in one["table"].columns
    assert patterns(analysis)[0]["connectome"] is None
    assert "Not on this page: positions of regions" in page_of(analysis)


@pytest.mark.usefixtures("undrawn")
def test_the_strongest_edges_are_those_of_the_table(told):
    analysis = read_analysis(told)
    table = analysis.table("patterns")
    order = table["pattern"].abs().sort_values(ascending=False).index[:20]
    first = table.loc[order]
    [one] = patterns(analysis)
    shown = [f"{a} and {b}" for a, b in first[["region_a", "region_b"]].to_numpy()]
    assert cells(one["table"], "edge") == shown
    assert cells(one["table"], "pattern") == [f"{v:+#.3g}" for v in first["pattern"]]
    n = (first["pattern"] > 0).sum()
    assert f"20 strongest of 66 edges, {n} are higher where" in one["sentence"]
    assert "sum of patterns" in one["regions"].columns


@pytest.mark.usefixtures("undrawn")
def test_a_model_at_chance_is_said_to_say_nothing(told):
    analysis = read_analysis(told)
    assert at_chance(analysis, "fc-svm") == ""
    said = at_chance(analysis, "control-site")
    assert said.startswith("control-site does not tell the groups apart beyond chance")
    assert at_chance(analysis, "nobody") == ""


@pytest.mark.usefixtures("undrawn")
def test_the_three_most_influential_communities_of_the_final_model(told):
    analysis = read_analysis(told)
    influence = analysis.table("influence").query("model == 'lstm-dg' and fold == 0")
    first = influence.sort_values("influence", ascending=False).head(3)
    weights = analysis.table("communities").query("model == 'lstm-dg' and fold == 0")
    one = only(communities(analysis), "lstm-dg")
    assert "the final model" in one["whose"]
    for shown, row in zip(one["shown"], first.to_dict("records"), strict=True):
        number = int(row["community"])
        own = weights[(weights["community"] == number) & (weights["member"] == 1)]
        own = own.sort_values("weight", ascending=False)
        assert shown["name"] == f"Community {number}, rank {int(row['rank'])}"
        assert shown["regions"] == own["region"].tolist()
        share = row["influence"] / influence["influence"].sum()
        assert shown["facts"] == [
            f"{len(own)} regions, {share:.1%} of the influence.",
            "In networks: Visual 50%, Limbic 30%, Default 10% of its regions.",
            "Terms of studies: term1 (0.25), term2 (0.20), term3 (0.15), term4 (0.10),"
            " term5 (0.05).",
        ]


@pytest.mark.usefixtures("undrawn")
def test_without_a_final_model_a_fold_is_shown_and_said(changed):
    one = communities(changed("influence", lambda table: table[table["fold"] > 1]))[0]
    assert "the model of fold 2, since the final one is not there" in one["whose"]


@pytest.mark.usefixtures("undrawn")
def test_sizes_are_those_of_the_folds_beside_parafac(told):
    analysis = read_analysis(told)
    sizes = analysis.table("influence").query("model == 'lstm-h' and fold > 0")
    said = only(communities(analysis), "lstm-h")["sizes"]["sentence"]
    known = sizes.loc[sizes["n_members"] > 0, "n_members"]
    assert f"have {known.mean():.1f} regions on average" in said
    assert f"{len(sizes) - len(known)} of {len(sizes)} have none" in said
    assert "those of PARAFAC 10.0" in said


@pytest.mark.usefixtures("undrawn")
def test_robustness_is_the_mean_over_folds_beside_parafac(told):
    said = robustness(read_analysis(told))
    better = "lstm-dg are more alike between folds than those of PARAFAC: correlation"
    assert better in said["sentence"]
    table = read_analysis(told).table("robustness")
    for method in ("lstm-dg", "parafac"):
        own = table[table["method"] == method]
        for measure in ("correlation", "dice"):
            assert f"{own[measure].mean():.2f}" in said["sentence"]
    assert cells(said["table"], "folds compared") == ["2", "2", "2"]
    assert cells(said["table"], "method")[-1] == "PARAFAC"


@pytest.mark.usefixtures("undrawn")
def test_one_fold_has_sizes_and_no_robustness(changed):
    said = robustness(changed("robustness", lambda table: table[table["fold"] == 1]))
    assert "There is one fold" in said["sentence"]
    assert cells(said["table"], "folds compared") == ["0", "0", "0"]


@pytest.mark.usefixtures("undrawn")
def test_without_parafac_nothing_is_compared(changed):
    analysis = changed("robustness", lambda table: table[table["method"] != "parafac"])
    assert "(PARAFAC) is not there" in robustness(analysis)["sentence"]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("damage", ["absent", "empty", "no columns", "no numbers"])
@pytest.mark.usefixtures("undrawn")
def test_no_table_breaks_the_page(told, name, damage):
    path = told / f"{name}.tsv"
    table = store.read_table(path)
    path.unlink()
    if damage == "empty":
        store.write_table(path, table.head(0))
    elif damage == "no columns":
        store.write_table(path, table.iloc[:, :1])
    elif damage == "no numbers":
        numbers = EXPLAINED[name][1].split()
        store.write_table(path, table.assign(**dict.fromkeys(numbers, "x")))
    analysis = read_analysis(told)
    text = page_of(analysis)
    assert (f"{name}.tsv has no column" in text) == (damage == "no columns")


@pytest.mark.usefixtures("undrawn")
def test_what_is_absent_and_who_is_not_explained_is_named(told):
    for name in ("decoding", "overlap", "robustness"):
        (told / f"{name}.tsv").unlink()
    text = page_of(read_analysis(told))
    for said in ("networks of communities", "terms of studies (decoding)",
                 "found again in other folds"):  # fmt: skip
        assert said in text
    assert "No table of this analysis says what meanmlp looks at." in text


@pytest.mark.usefixtures("undrawn")
def test_the_notes_of_what_is_not_known_stand_at_the_top(told):
    about = store.read_json(told / "analysis.json")
    about["explained_notes"] = ["Not decoded: <files> are not given."]
    store.write_json(told / "analysis.json", about)
    text = page_of(read_analysis(told))
    assert "<li>Not decoded: &lt;files&gt; are not given.</li>" in text


@pytest.mark.usefixtures("undrawn")
def test_a_page_that_no_longer_holds_goes(told):
    group_page(told)
    assert (told / NAME).exists()
    for name in TABLES:
        (told / f"{name}.tsv").unlink()
    assert not is_told(read_analysis(told))
    group_page(told)
    assert not (told / NAME).exists()
    assert NAME not in text_of(told, "report.html")


def dots(x, y):
    """Return where a dot stands in each view of a brain; None where it does not."""
    drawn = figures.brain(np.array([[x, y, 30.0]]), np.ones(1), "one & <b>")
    assert "one &amp; &lt;b&gt;" in drawn
    views = re.split(r'<g id="axes_\d+">', drawn)[1:]
    found = [v.partition("PathCollection")[2].partition("</g>")[0] for v in views]
    places = [re.search(r'<use [^>]*x="([\d.]+)"', one) for one in found]
    return [float(place[1]) if place else None for place in places]


def test_a_side_of_a_brain_shows_its_own_and_the_left_one_looks_left():
    front, back, other = dots(-40.0, 60.0), dots(-40.0, -60.0), dots(40.0, 60.0)
    at = {place for place, one in enumerate(front) if one is not None}
    assert len(at) == 2  # its own side, and above
    [left] = at - {place for place, one in enumerate(other) if one is not None}
    assert front[left] < back[left]
