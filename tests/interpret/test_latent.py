"""Traits in latent spaces: against scipy, scikit-learn, statsmodels; laws; edges."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import pdist
from scipy.stats import kendalltau, kstest, ortho_group
from sklearn.metrics import silhouette_score
from statsmodels.stats.multitest import multipletests

from bidsclf.errors import InputError
from bidsclf.interpret._kendall import _inversions, taus
from bidsclf.interpret._mantel import Statistic, tabulate
from bidsclf.interpret.latent import (
    BACKGROUND,
    DIFFERENCE,
    SALIENT,
    Trait,
    read_trait,
    silhouettes,
    similarities,
)

TABLES = (similarities, silhouettes)


def cloud(seed=0, n=40, d=4):
    return np.random.default_rng(seed).normal(size=(n, d))


def number(values, name="iq"):
    return Trait(name, np.asarray(values, float), is_number=True)


def category(values, name="site"):
    return Trait(name, np.asarray(values, float), is_number=False)


def both(n=40):
    """Return two spaces; the first axis of the salient one is a trait."""
    return {SALIENT: cloud(1, n), BACKGROUND: cloud(2, n)}


def tau(latent, trait):
    """Return tau-b as scipy has it, of people who know the trait."""
    known = trait.known
    metric = "cityblock" if trait.is_number else "hamming"
    apart = pdist(trait.values[known][:, None], metric)
    return kendalltau(pdist(latent[known]), apart).statistic


def value(table, space, name):
    return table.set_index("space").loc[space, name]


# Reading traits


@pytest.mark.parametrize(
    "blank", ["-999", "-9999", "-999.0", "n/a", "", " ", None, "NaN"]
)
def test_missing_codes_and_blank_cells_are_missing(blank):
    trait = read_trait("iq", pd.Series(["101", blank, " 98.5 "]))
    assert trait.is_number
    np.testing.assert_array_equal(trait.values, [101, np.nan, 98.5])
    names = read_trait("scanner", pd.Series(["2", blank, "1"]), is_category=True)
    np.testing.assert_array_equal(names.values, [1, np.nan, 0])


@pytest.mark.parametrize(
    ("cells", "is_number"),
    [
        (pd.Series([1, -999, 3]), True),
        (pd.Series([1.5, np.nan, np.inf]), True),
        (pd.Series(["F", "M", "1"]), False),
        (pd.Series([True, False, True]), False),
        (pd.Series(["a", "b", "a"], dtype="category"), False),
        (pd.Series([None, None, None]), True),
    ],
)
def test_numbers_are_numbers_where_all_cells_are(cells, is_number):
    trait = read_trait("x", cells)
    assert trait.is_number is is_number
    assert not np.isinf(trait.values).any()


def test_a_trait_that_is_missing_everywhere_is_not_said():
    assert not read_trait("x", pd.Series(["n/a"] * 20)).is_said


def test_a_number_of_which_most_have_the_largest_is_split_below_it():
    values = [4, 4, 1, np.nan, 4, 3, 4]
    np.testing.assert_array_equal(
        number(values).grouped().values, [1, 1, 0, np.nan, 1, 0, 1]
    )


# Kendall's tau against scipy


@settings(max_examples=40)
@given(
    n=st.integers(3, 12),
    grain=st.sampled_from([1, 2, 1000]),
    seed=st.integers(0, 999),
)
def test_tau_is_scipys_in_every_order_with_and_without_ties(n, grain, seed):
    rng = np.random.default_rng(seed)
    half = np.round(rng.random((n, n)) * grain)
    placed = np.triu(half, 1) + np.triu(half, 1).T
    values = rng.integers(0, grain + 1, n).astype(float)
    apart = np.abs(values[:, None] - values)
    orders = np.stack([rng.permutation(n) for _ in range(3)])
    pairs = np.triu_indices(n, k=1)
    expected = [
        kendalltau(placed[pairs], apart[np.ix_(order, order)][pairs]).statistic
        for order in orders
    ]
    np.testing.assert_allclose(
        taus(placed, apart, orders), expected, rtol=0, atol=1e-15
    )


def test_discordant_pairs_are_counted_one_by_one():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 9, (7, 7)).astype(np.int32)
    first, second = rng.integers(0, 7, (2, 30))
    order = rng.permutation(7)
    row = codes[order[first], order[second]]
    expected = sum(a > b for at, b in enumerate(row) for a in row[:at])
    assert _inversions(first, second, codes, order[None]).tolist() == [expected]


# The tables


@pytest.mark.parametrize("trait", [number(cloud(3)[:, 0]), category(np.arange(40) % 3)])
def test_tau_agrees_with_scipy_on_people_who_know_the_trait(trait):
    trait.values[[3, 17, 30]] = np.nan
    spaces = both()
    table = similarities(spaces, [trait], n_permutations=1, seed=0)
    for space, latent in spaces.items():
        assert value(table, space, "tau") == pytest.approx(
            tau(latent, trait), abs=1e-15
        )
    gap = tau(spaces[SALIENT], trait) - tau(spaces[BACKGROUND], trait)
    assert value(table, DIFFERENCE, "tau") == pytest.approx(gap, abs=1e-15)
    assert table["n"].tolist() == [37, 37, 37]


def test_silhouettes_agree_with_scikit_learn_on_categories_and_median_halves():
    spaces, site = both(), category(np.arange(40) % 3)
    severity = number(spaces[SALIENT][:, 0])
    site.values[[3, 17]] = np.nan
    table = silhouettes(spaces, [site, severity], n_permutations=1, seed=0)
    high = severity.values > np.median(severity.values)
    for space, latent in spaces.items():
        rows = table[table["space"] == space].set_index("trait")["silhouette"]
        known = site.known
        expected = silhouette_score(latent[known], site.values[known])
        assert rows["site"] == pytest.approx(expected, abs=1e-12)
        assert rows["iq"] == pytest.approx(silhouette_score(latent, high), abs=1e-12)


def test_who_is_alone_in_a_group_is_left_out_of_silhouettes():
    site = category([*np.arange(39) % 2, 7])
    table = silhouettes(both(), [site], n_permutations=1, seed=0)
    expected = silhouette_score(both()[SALIENT][:39], site.values[:39])
    assert value(table, SALIENT, "silhouette") == pytest.approx(expected, abs=1e-12)
    assert table["n"].tolist() == [39, 39, 39]


def test_tau_over_blocks_is_the_mean_weighted_by_pairs():
    spaces, trait = both(), number(cloud(3)[:, 0])
    trait.values[2] = np.nan
    blocks = np.repeat([5, 1, 9], [25, 13, 2])  # two people have one distance: left out
    table = similarities(spaces, [trait], n_permutations=1, seed=0, blocks=blocks)
    for space, latent in spaces.items():
        parts = [slice(0, 25), slice(25, 38)]
        each = [tau(latent[p], number(trait.values[p])) for p in parts]
        expected = np.average(each, weights=[24 * 23 / 2, 13 * 12 / 2])
        assert value(table, space, "tau") == pytest.approx(expected, abs=1e-15)
    assert set(table["n"]) == {24 + 13}


def test_silhouette_over_blocks_is_the_mean_weighted_by_people():
    spaces, site = both(), category(np.arange(40) % 2)
    site.values[[2, 3, 30]] = 5  # the last is alone in the block
    blocks = np.repeat([0, 1], [25, 15])
    table = silhouettes(spaces, [site], n_permutations=1, seed=0, blocks=blocks)
    parts = [np.arange(25), np.setdiff1d(np.arange(25, 40), 30)]
    each = [silhouette_score(spaces[SALIENT][p], site.values[p]) for p in parts]
    expected = np.average(each, weights=[25, 14])
    assert value(table, SALIENT, "silhouette") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("tell", TABLES)
def test_spaces_of_different_networks_are_compared_within_blocks_only(tell):
    latent, trait = cloud(), number(cloud()[:, 0])
    blocks = np.repeat([0, 1], 20)
    moved = latent + 100 * blocks[:, None]  # another network's space is anywhere
    one, two = (
        tell({SALIENT: z}, [trait], n_permutations=50, seed=0, blocks=blocks)
        for z in (latent, moved)
    )
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize("tell", TABLES)
def test_a_trait_that_differs_between_blocks_only_is_not_found(tell):
    blocks = np.repeat([0, 1], 20)
    latent = cloud() + 10 * blocks[:, None]
    trait = number(blocks + 0.1 * cloud(5)[:, 0])
    told = {"n_permutations": 199, "seed": 0}
    assert tell({SALIENT: latent}, [trait], **told)["p"][0] == 1 / 200
    within = tell({SALIENT: latent}, [trait], **told, blocks=blocks)
    assert not within["p"][0] <= 0.05  # halves above the median are the blocks: NaN


# The null


def test_p_counts_permutations_of_people_at_least_as_far():
    latent, trait = cloud(n=12), number(cloud(3, n=12)[:, 0])
    table = similarities({"latent": latent}, [trait], n_permutations=4000, seed=0)
    rng, found = np.random.default_rng(7), tau(latent, trait)
    null = [tau(latent, number(rng.permutation(trait.values))) for _ in range(2000)]
    exact = np.mean(np.array(null) >= found)
    assert table["p"][0] == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 2000))


@pytest.mark.parametrize("tell", TABLES)
def test_the_least_p_is_one_of_the_permutations(tell):
    z = both()
    trait = number(z[SALIENT] @ np.ones(4) * 5)
    table = tell({SALIENT: z[SALIENT][:, :1] * 0 + trait.values[:, None]}, [trait],
                 n_permutations=9, seed=0)  # fmt: skip
    assert table["p"].tolist() == [0.1]


@pytest.mark.parametrize("tell", TABLES)
def test_spaces_are_one_sided_and_their_difference_two_sided(tell):
    trait = number(np.repeat([0.0, 1.0], 20))
    alike = cloud() + 3 * trait.values[:, None]
    spaces = {SALIENT: cloud(4), BACKGROUND: alike}  # the trait lies in the background
    table = tell(spaces, [trait], n_permutations=199, seed=0).set_index("space")
    assert table.loc[BACKGROUND, "p"] == 1 / 200
    assert table.loc[SALIENT, "p"] > 0.05
    assert table.loc[DIFFERENCE, "p"] == 1 / 200
    assert table.loc[DIFFERENCE].iloc[3] < 0


def told_p(salient, background):
    """Return p of both spaces and their difference, of given values."""
    drawn = [np.array(salient), np.array(background)]
    given = Statistic("t", lambda t, _: t, lambda *_: drawn.pop(0), lambda n: n)
    trait = number(np.arange(40))
    settings = {"blocks": None, "n_permutations": 3, "seed": 0}
    return tabulate(given, both(), [trait], **settings)["p"].tolist()


def test_the_difference_is_told_from_the_middle_of_its_null():
    p = told_p([0.5, 0.7, 0.9, 0.8], [0.0, 0.0, 0.0, 0.0])
    assert p == [1.0, 1.0, 0.25]  # the farthest from the middle, if the least


def test_values_that_differ_by_rounding_are_as_far():
    assert told_p([0.1 + 0.2, 0.3, 0.3, 0.2], [1.0, 0.0, 0.0, 0.0])[0] == 0.75


def test_holm_is_over_all_rows_that_have_a_p():
    traits = [number(cloud(9 + i)[:, 0], f"t{i}") for i in range(4)]
    traits.insert(1, number(np.full(40, np.nan), "unknown"))
    table = similarities(both(), traits, n_permutations=99, seed=0)
    known = table["p"].notna()
    assert known.sum() == 12
    assert table.loc[~known, ["tau", "p_holm"]].isna().all(axis=None)
    expected = multipletests(table["p"][known], method="holm")[1]
    np.testing.assert_allclose(table["p_holm"][known], expected)


def scrambled(tell, n_times, n_people, n_permutations):
    """Return p of traits that have nothing to do with the space, but are clumped."""
    rng = np.random.default_rng(0)
    p = []
    for seed in range(n_times):
        latent = rng.normal(size=(n_people, 3)) * [3, 1, 0.3]
        trait = number(rng.permutation(np.sort(rng.lognormal(size=n_people))))
        blocks = np.arange(n_people) % 2 if seed % 2 else None
        spaces = {SALIENT: latent, BACKGROUND: rng.normal(size=(n_people, 2))}
        told = {"n_permutations": n_permutations, "seed": seed, "blocks": blocks}
        p.append(tell(spaces, [trait], **told)["p"])
    steps = rng.random((n_times, 3)) / (n_permutations + 1)
    return np.array(p) - steps  # as even between the steps of p as on them


@pytest.mark.parametrize("tell", TABLES)
def test_scrambled_traits_give_uniform_p(tell):
    p = scrambled(tell, 150, 20, 99)  # (150, 3): two spaces and their difference
    for column in p.T:
        assert kstest(column, "uniform").pvalue > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("tell", TABLES)
def test_scrambled_traits_give_uniform_p_at_length(tell):
    p = scrambled(tell, 1500, 40, 199)
    for column in p.T:
        assert kstest(column, "uniform").pvalue > 0.001  # six tests
        assert np.mean(column <= 0.05) == pytest.approx(0.05, abs=0.017)  # 3 sd


# Laws


@settings(max_examples=20)
@given(st.integers(0, 999), st.floats(1e-3, 1e3), st.sampled_from(TABLES))
def test_turning_moving_and_scaling_a_space_changes_nothing(seed, scale, tell):
    latent, trait = cloud(seed, n=15, d=3), number(cloud(seed + 1, n=15)[:, 0])
    turned = scale * latent @ ortho_group.rvs(3, random_state=seed) + 5 * scale
    one, two = (
        tell({"latent": z}, [trait], n_permutations=19, seed=0)
        for z in (latent, turned)
    )
    pd.testing.assert_frame_equal(one, two, atol=1e-9)


@settings(max_examples=20)
@given(hnp.arrays(int, 20, elements=st.integers(0, 2)), st.sampled_from(TABLES))
def test_names_of_categories_do_not_matter(codes, tell):
    renamed = np.array([5.0, -1.0, 2.0])[codes]
    one, two = (
        tell({"latent": cloud(n=20)}, [category(v)], n_permutations=9, seed=0)
        for v in (codes, renamed)
    )
    pd.testing.assert_frame_equal(one, two, atol=1e-9)


@settings(max_examples=20)
@given(st.permutations(range(20)), st.sampled_from(TABLES))
def test_the_order_of_people_does_not_change_the_statistic(order, tell):
    spaces, trait, order = both(20), number(cloud(3, n=20)[:, 0]), list(order)
    one = tell(spaces, [trait], n_permutations=1, seed=0)
    moved = {name: latent[order] for name, latent in spaces.items()}
    two = tell(moved, [number(trait.values[order])], n_permutations=1, seed=0)
    np.testing.assert_allclose(one.iloc[:, 4], two.iloc[:, 4], atol=1e-12)


@pytest.mark.parametrize("tell", TABLES)
def test_the_same_seed_gives_the_same_table_and_changes_no_argument(tell):
    spaces, trait = both(), number(cloud(3)[:, 0])
    kept = {name: latent.copy() for name, latent in spaces.items()}, trait.values.copy()
    one, two = (tell(spaces, [trait], n_permutations=9, seed=4) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    np.testing.assert_array_equal(trait.values, kept[1])
    for name, latent in spaces.items():
        np.testing.assert_array_equal(latent, kept[0][name])


# Edges


@pytest.mark.parametrize("tell", TABLES)
@pytest.mark.parametrize(
    "values",
    [
        np.full(40, np.nan),
        np.full(40, 3.0),
        [*range(9), *[np.nan] * 31],
        np.where(np.arange(40) < 12, 1.0, np.nan),
    ],
)
def test_a_trait_that_says_nothing_has_a_row_without_numbers(tell, values):
    table = tell(both(), [number(values)], n_permutations=9, seed=0)
    assert table["space"].tolist() == [SALIENT, BACKGROUND, DIFFERENCE]
    assert table.iloc[:, 4:].isna().all(axis=None)


@pytest.mark.parametrize("tell", TABLES)
def test_a_space_in_which_all_lie_in_one_place_has_rows_without_numbers(tell):
    spaces = both() | {SALIENT: np.ones((40, 4))}
    table = tell(spaces, [number(cloud(3)[:, 0])], n_permutations=9, seed=0)
    table = table.set_index("space")
    assert table.loc[[SALIENT, DIFFERENCE], "p"].isna().all()
    assert np.isfinite(table.loc[BACKGROUND, "p"])


@pytest.mark.parametrize("tell", TABLES)
def test_blocks_of_single_people_say_nothing(tell):
    trait = number(cloud(3)[:, 0])
    table = tell(both(), [trait], n_permutations=9, seed=0, blocks=np.arange(40))
    assert table.iloc[:, 4:].isna().all(axis=None)
    assert (table["n"] == 0).sum() + (table["n"] == 40).sum() == len(table)


@pytest.mark.parametrize("tell", TABLES)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_people_and_no_traits_give_tables_all_the_same(tell, n):
    table = tell(both(n), [number(np.arange(n))], n_permutations=9, seed=0)
    assert table["p"].isna().all()
    assert len(table) == 3
    assert list(tell(both(n), [], n_permutations=9, seed=0)) == list(table)


@pytest.mark.parametrize("tell", TABLES)
def test_a_space_of_one_name_has_no_difference(tell):
    table = tell({"latent": cloud()}, [number(np.arange(40))], n_permutations=9, seed=0)
    assert table["space"].tolist() == ["latent"]


# Messages


@pytest.mark.parametrize("tell", TABLES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_latents_that_are_not_finite_are_refused(tell, bad):
    latent = cloud()
    latent[7, 2] = bad
    with pytest.raises(InputError, match=r"'salient'.*not finite in rows \[7\]"):
        tell({SALIENT: latent}, [number(np.arange(40))], n_permutations=9, seed=0)


@pytest.mark.parametrize("tell", TABLES)
def test_spaces_traits_and_blocks_of_other_people_are_refused(tell):
    told = {"n_permutations": 9, "seed": 0}
    iq = number(np.arange(40))
    with pytest.raises(InputError, match=r"'background' 39.*a row a person"):
        tell({SALIENT: cloud(), BACKGROUND: cloud(n=39)}, [iq], **told)
    with pytest.raises(InputError, match="'salient' 40, trait 'iq' 41"):
        tell({SALIENT: cloud()}, [number(np.arange(41))], **told)
    with pytest.raises(InputError, match="blocks 3"):
        tell({SALIENT: cloud()}, [iq], **told, blocks=np.arange(3))
    with pytest.raises(InputError, match=r"'salient'.*\(40,\)"):
        tell({SALIENT: np.arange(40.0)}, [iq], **told)
