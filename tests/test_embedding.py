"""Embeddings harmonized by what networks say of people they have never seen."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bidsclf.config import FoldConfig, HarmonizeConfig
from bidsclf.crossval import (
    Crossfitted,
    Recipe,
    fit_fold,
    load_bundle,
    permute_fold,
    save_bundle,
    score_people,
)
from bidsclf.crossval.dealing import LEAST, N_PARTS, check, dealt
from bidsclf.errors import InputError
from bidsclf.evaluate.calibration import temperature
from bidsclf.folds import make_folds
from bidsclf.models import fc
from bidsclf.models._base import Variant
from bidsclf.models._head import LinearHead

N, N_FEATURES, D = 90, 12, 5
RNG = np.random.default_rng(0)
Y = RNG.permutation(np.arange(N) % 2)
SITE = np.array(list("ABC") * (N // 3), object)
TRAITS = pd.DataFrame(
    {"site": SITE, "age": RNG.uniform(6, 40, N), "sex": RNG.choice(["F", "M"], N)}
)
PEOPLE = pd.DataFrame(
    {"participant_id": [f"sub-{i:02d}" for i in range(N)], "y": Y, "site": SITE}
)
ALL = np.arange(N)
X = RNG.normal(size=(N, N_FEATURES)).astype(np.float32)
X[:, 0] += 1.2 * Y
X += 0.8 * (SITE == "A")[:, None] * RNG.normal(size=N_FEATURES).astype(np.float32)
FOLD = make_folds(PEOPLE, FoldConfig(n_folds=5))[0]
COMBAT = HarmonizeConfig(method="combat")


class Toy:
    """A network of one layer: what tells the classes, and random directions."""

    def __init__(self, seed=0, device="cpu"):
        self.seed, self.calls, self.fits = seed, [], []

    def fit(self, x, y, valid=None, people=None):
        self.fits.append((x, y, valid, people))
        told = x[y == 1].mean(0) - x[y == 0].mean(0)
        rng = np.random.default_rng(self.seed)
        shape = (x.shape[1], D - 1)
        self.w = np.column_stack([told, rng.normal(size=shape)]).astype(np.float32)
        return self

    def embed(self, x):
        self.calls.append(x)
        return np.stack([row @ self.w for row in x])

    def predict_score(self, x):
        return expit((x @ self.w[:, 0]).astype(float))

    def notes(self):
        return {"seed": self.seed}

    def save(self, folder):
        save_file({"w": self.w}, folder / "model.safetensors")
        return self.notes()

    def load(self, folder, settings):
        self.seed = settings["seed"]
        self.w = load_file(folder / "model.safetensors")["w"]
        return self


VARIANT = Variant(input="fisherz", make=Toy, needs_valid=True, harmonize_at="embedding")


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """``fc-toy``, an option like any other."""
    monkeypatch.setitem(fc.VARIANTS, "fc-toy", VARIANT)


def fit(how=COMBAT, **changed):
    """Fit the fold; ``changed`` replaces x, y, rows, fold, traits or the seed."""
    given = {"x": X, "y": Y, "rows": ALL, "fold": FOLD, "traits": TRAITS} | changed
    recipe = Recipe(variant="fc-toy", harmonize=how, seed=given.pop("seed", 0))
    traits = given.pop("traits")
    return fit_fold(*given.values(), recipe, traits=traits)


def written(folder, result) -> dict[str, bytes]:
    """Everything that was learned, as the bytes of a bundle."""
    save_bundle(folder, result.fitted, variant="fc-toy", context={})
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def inside(rows, x=X) -> set[int]:
    """Return the positions in x of rows that were handed over."""
    known = {one.tobytes(): at for at, one in enumerate(np.ascontiguousarray(x))}
    return {known[one.tobytes()] for one in np.ascontiguousarray(rows)}


def parts_of(result) -> list[set[int]]:
    """Return the training people whom each network never saw."""
    return [inside(model.calls[0]) for model in result.fitted.models]


def test_each_network_misses_one_part_and_embeds_it():
    result = fit()
    models, parts = result.fitted.models, parts_of(result)
    assert len(models) == N_PARTS == 3
    assert len({model.seed for model in models}) == N_PARTS
    assert sorted(np.concatenate([list(p) for p in parts])) == sorted(FOLD.train)
    for model, part in zip(models, parts, strict=True):
        ((x, y, valid, people),) = model.fits
        assert inside(x) == set(FOLD.train) - part
        assert len(x) == len(y) == len(people)
        assert inside(valid[0]) == set(FOLD.valid)
        for row, label, person in zip(x, y, people, strict=True):
            (at,) = inside(row[None])
            assert (label, person) == (Y[at], at)


def test_embeds_everyone_once_a_network():
    for model in fit().fitted.models:
        assert len(model.calls) == 3
        _, test, stop = (inside(call) for call in model.calls)
        assert [len(call) for call in model.calls[1:]] == [len(test), len(stop)]
        assert (stop, test) == (set(FOLD.valid), set(FOLD.test))


def test_before_is_a_head_on_the_same_embeddings_without_a_harmonizer():
    result = fit()
    votes = []
    for model, part in zip(result.fitted.models, parts_of(result), strict=True):
        own = sorted(part)
        head = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", tol=1e-10)
        ).fit((X[own] @ model.w).astype(float), Y[own])
        votes.append(head.predict_proba((X[FOLD.test] @ model.w).astype(float))[:, 1])
    np.testing.assert_allclose(result.before, np.mean(votes, axis=0), atol=1e-3)
    assert np.abs(result.before - result.scores).max() > 0.01


def test_scores_are_the_mean_of_heads_on_what_a_harmonizer_of_the_part_makes():
    """The harmonizer is learned anew here, from the part that its network missed."""
    from bidsclf.harmonize import make

    result, votes = fit(), []
    covariates = TRAITS[["age", "sex"]]
    for model, part in zip(result.fitted.models, parts_of(result), strict=True):
        own = np.array(sorted(part))
        z = X @ model.w
        combat = make(COMBAT).fit(z[own], SITE[own], covariates.iloc[own])
        z = combat.apply(z, SITE, covariates).astype(float)
        head = make_pipeline(
            StandardScaler(), LogisticRegression(class_weight="balanced", tol=1e-10)
        ).fit(z[own], Y[own])
        votes.append(head.predict_proba(z)[:, 1])
    scores = np.mean(votes, axis=0)
    np.testing.assert_allclose(result.scores, scores[FOLD.test], atol=1e-3)
    held = temperature(logit(scores[FOLD.valid]), Y[FOLD.valid])
    assert result.temperature == pytest.approx(held, rel=0.01)
    told = expit(logit(result.scores) / result.temperature)
    np.testing.assert_allclose(result.probabilities, told)


@pytest.mark.parametrize("policy", ["refuse", "batch"])
def test_no_fitted_number_knows_a_test_person(policy, tmp_path):
    how = HarmonizeConfig(method="combat", unseen=policy)
    x, y, traits = X.copy(), Y.copy(), TRAITS.copy()
    x[FOLD.test] *= 3
    y[FOLD.test] = 1 - y[FOLD.test]
    traits.loc[FOLD.test, "age"] += 200
    traits.loc[FOLD.test, "sex"] = "F"
    moved = "A" if policy == "refuse" else "far"
    traits.loc[FOLD.test, "site"] = moved
    here, there = fit(how), fit(how, x=x, y=y, traits=traits)
    assert not np.array_equal(here.scores, there.scores)
    assert not np.array_equal(here.before, there.before)
    one, two = written(tmp_path / "a", here), written(tmp_path / "b", there)
    assert one == two
    assert len(one) == 1 + 3 * N_PARTS
    assert json.loads(one["model.json"])["temperature"] == here.temperature > 0


def test_no_test_person_is_in_the_scores_of_another():
    x = X.copy()
    x[FOLD.test[0]] *= -5
    here, there = fit(), fit(x=x)
    for name in ("scores", "before", "probabilities"):
        one, two = getattr(here, name), getattr(there, name)
        assert one[0] != two[0]
        np.testing.assert_array_equal(one[1:], two[1:])


def test_no_fitted_number_knows_the_order_of_people(tmp_path):
    order = np.random.default_rng(5).permutation(N)
    place = np.argsort(order)
    parts = {part: place[getattr(FOLD, part)] for part in ("train", "valid", "test")}
    here = fit()
    there = fit(
        x=X[order],
        y=Y[order],
        traits=TRAITS.iloc[order].reset_index(drop=True),
        fold=replace(FOLD, **parts),
    )
    for model, other in zip(here.fitted.models, there.fitted.models, strict=True):
        for one, two in zip(model.fits[0][:2], other.fits[0][:2], strict=True):
            np.testing.assert_array_equal(one, two)
    assert written(tmp_path / "a", here) == written(tmp_path / "b", there)
    np.testing.assert_allclose(there.scores, here.scores, rtol=1e-12)
    np.testing.assert_allclose(there.before, here.before, rtol=1e-12)


def test_every_training_person_and_label_is_learned_from(tmp_path):
    at, here = FOLD.train[0], written(tmp_path / "here", fit())
    for changed in ("x", "y"):
        value = {"x": X, "y": Y}[changed].copy()
        value[at] = 1 - value[at]
        there = written(tmp_path / changed, fit(**{changed: value}))
        assert all(here[name] != there[name] for name in here if "head" in name)


def test_runs_of_a_person_stay_together_and_are_averaged():
    rows = np.repeat(ALL, 2)
    noise = np.random.default_rng(3).normal(size=(2 * N, N_FEATURES))
    x = X[rows] + 0.01 * noise.astype(np.float32)
    result = fit(x=x, rows=rows)
    for model in result.fitted.models:
        missed = np.bincount(rows[list(inside(model.calls[0], x))], minlength=N)
        learned = np.bincount(rows[list(inside(model.fits[0][0], x))], minlength=N)
        assert set(missed) == set(learned) == {0, 2}
        assert not (missed & learned).any()
    test = np.isin(rows, FOLD.test)
    scores = score_people(result.fitted, x[test], rows[test], N, TRAITS)[0]
    np.testing.assert_allclose(scores[FOLD.test], result.scores)
    each = score_people(
        result.fitted, x[test], np.arange(test.sum()), test.sum(),
        TRAITS.iloc[rows[test]].reset_index(drop=True),
    )[0]  # fmt: skip
    np.testing.assert_allclose(each.reshape(-1, 2).mean(1), result.scores)


def test_families_are_not_taken_apart():
    family = np.full(N, -1)
    family[FOLD.train] = np.arange(len(FOLD.train)) // 2
    family[family < 0] = 1000 + np.flatnonzero(family < 0)
    result = fit(traits=TRAITS.assign(group=family))
    for part in parts_of(result):
        rest = set(FOLD.train) - part
        assert not {family[i] for i in part} & {family[i] for i in rest}
    assert sum(len(part) for part in parts_of(result)) == len(FOLD.train)


def test_a_person_drawn_twice_counts_twice_and_is_in_one_part():
    fold = make_folds(PEOPLE, FoldConfig(scheme="bootstrap", n_repeats=1))[0]
    result = fit(fold=fold)
    drawn = np.bincount(fold.train, minlength=N)
    assert drawn.max() > 1
    for model, part in zip(result.fitted.models, parts_of(result), strict=True):
        times = np.zeros(N, int)
        for row in model.fits[0][0]:
            times[next(iter(inside(row[None])))] += 1
        expected = np.where(np.isin(ALL, list(part)), 0, drawn)
        np.testing.assert_array_equal(times, expected)
        assert len(model.calls[0]) == len(part)  # embedded once all the same


def test_a_model_that_stops_nowhere_learns_from_the_validation_part(monkeypatch):
    monkeypatch.setitem(fc.VARIANTS, "fc-toy", replace(VARIANT, needs_valid=False))
    result = fit()
    everyone = set(FOLD.train) | set(FOLD.valid)
    assert set.union(*parts_of(result)) == everyone
    assert all(model.fits[0][2] is None for model in result.fitted.models)
    assert result.temperature is None


def test_the_final_model_has_nobody_to_test():
    fold = replace(FOLD, train=np.union1d(FOLD.train, FOLD.test), test=ALL[:0])
    result = fit(fold=fold)
    assert result.scores.shape == result.before.shape == (0,)
    assert all(len(model.calls) == 2 for model in result.fitted.models)


def test_without_harmonization_the_network_itself_is_the_model():
    result = fit(HarmonizeConfig())
    (model,) = result.fitted.models
    assert result.before is None
    assert len(model.fits) == 1
    assert not model.calls
    np.testing.assert_array_equal(result.scores, model.predict_score(X[FOLD.test]))


def test_a_planted_site_shift_rules_the_head_before_and_not_after():
    """Labels go with sites in training, the other way round in those tested."""
    rng = np.random.default_rng(8)
    n = 240
    site = np.array(list("AB") * (n // 2), object)
    fold = replace(
        FOLD, train=np.arange(160), valid=np.arange(160, 180), test=np.arange(180, n)
    )
    is_odd = rng.random(n) < np.where(site == "A", 0.8, 0.2)
    y = is_odd.astype(int)
    y[180:] = rng.permutation(np.arange(60) % 2)
    x = rng.normal(size=(n, N_FEATURES)).astype(np.float32)
    x[:, 0] += 0.5 * y
    x[:, 3] += 4 * (site == "A")
    result = fit(
        x=x, y=y, rows=np.arange(n), fold=fold, traits=pd.DataFrame({"site": site})
    )
    at_a = site[180:] == "A"
    gap = [s[at_a].mean() - s[~at_a].mean() for s in (result.before, result.scores)]
    assert gap[0] > 0.4
    assert abs(gap[1]) < 0.2 < gap[0] - abs(gap[1])


@pytest.mark.parametrize("policy", ["identity", "batch"])
def test_unseen_sites_follow_the_policy(policy):
    how = HarmonizeConfig(method="combat", unseen=policy)
    traits = TRAITS.copy()
    traits.loc[FOLD.test[:6], "site"] = "far"
    result = fit(how, traits=traits)
    expected = np.where(np.arange(len(FOLD.test)) < 6, policy, "site")
    assert result.harmonized.tolist() == expected.tolist()
    if policy == "identity":
        sixth = result.fitted.members[0]
        z = X[FOLD.test] @ sixth.model.w
        same = sixth.harmonizer.apply(
            z, traits["site"].to_numpy(object)[FOLD.test],
            traits[["age", "sex"]].iloc[FOLD.test],
        )  # fmt: skip
        np.testing.assert_array_equal(same[:6], z[:6])
        assert not np.allclose(same[6:], z[6:])


def test_an_unseen_site_is_refused_with_the_place():
    traits = TRAITS.copy()
    traits.loc[FOLD.test[:6], "site"] = "far"
    place = r"^fc-toy, repeat 1, fold 1: part 1 of 3: site 'far' \(6 row"
    with pytest.raises(InputError, match=place):
        fit(traits=traits)
    with pytest.raises(InputError, match=r"fold 1: --harmonize combat needs the site"):
        fit(traits=None)


def test_a_stopping_person_of_an_unseen_site_does_no_harm():
    traits = TRAITS.copy()
    traits.loc[FOLD.valid[:1], "site"] = "far"
    assert fit(traits=traits).temperature > 0
    traits.loc[FOLD.valid, "site"] = "far"
    assert fit(traits=traits).temperature is None


def test_a_small_site_is_refused_with_its_counts():
    traits = TRAITS.assign(site=SITE.copy())
    traits.loc[FOLD.train[:5], "site"] = "tiny"
    with pytest.raises(InputError, match=r"site 'tiny' has 5 people .*, [12, ]{7} in"):
        fit(traits=traits)
    with pytest.raises(InputError, match=r"6 in all.*--include.*--harmonize none"):
        fit(HarmonizeConfig(method="combat", unseen="batch"), traits=traits)
    traits.loc[FOLD.test[0], "site"] = "tiny"
    kept = fit(HarmonizeConfig(method="combat", unseen="identity"), traits=traits)
    assert kept.harmonized[0] == "identity"  # one part had a single person of it
    traits.loc[FOLD.train[5], "site"] = "tiny"
    assert fit(traits=traits).harmonized[0] == "site"


def test_a_class_that_a_part_lacks_is_refused():
    y = np.zeros(N, int)
    y[[*FOLD.train[:2], FOLD.valid[0]]] = 1
    with pytest.raises(InputError, match=r"class 1 has 2 people .*, [01, ]{7} in"):
        fit(y=y)


def test_permuted_labels_refit_everything():
    labels = np.array([Y, 1 - Y, np.roll(Y, 7)])
    recipe = Recipe(variant="fc-toy", harmonize=COMBAT)
    found = permute_fold(X, labels, ALL, FOLD, recipe, traits=TRAITS)
    assert found.shape == (3, len(FOLD.test))
    for scores, y in zip(found, labels, strict=True):
        np.testing.assert_array_equal(scores, fit(y=y).scores)
    none = permute_fold(X, labels[:0], ALL, FOLD, recipe, traits=TRAITS)
    assert none.shape == (0, len(FOLD.test))


def test_a_bundle_says_the_same_elsewhere(tmp_path):
    result = fit()
    folder = tmp_path / "final"
    (folder / "member-9").mkdir(parents=True)
    save_bundle(folder, result.fitted, variant="fc-toy", context={"fold": 1})
    loaded, described = load_bundle(folder)
    assert isinstance(loaded, Crossfitted)
    assert loaded.covariates == ("age", "sex")
    assert not (folder / "member-9").exists()
    assert described["context"] == {"fold": 1}
    own = TRAITS.iloc[FOLD.test].reset_index(drop=True)
    n = len(own)
    scores, told, how = score_people(loaded, X[FOLD.test], np.arange(n), n, own)
    np.testing.assert_array_equal(scores, result.scores)
    np.testing.assert_array_equal(told, result.probabilities)
    assert how.tolist() == result.harmonized.tolist()
    alone = score_people(loaded, X[FOLD.test][:1], ALL[:1], 1, own[:1])[0]
    np.testing.assert_allclose(alone, result.scores[:1])
    nobody = score_people(loaded, X[:0], ALL[:0], 2, own[:2])
    assert np.isnan(nobody[0]).all()
    assert nobody[2].tolist() == ["none", "none"]
    with pytest.raises(InputError, match="with site, age, sex and there is no age"):
        score_people(loaded, X[:1], ALL[:1], 1, own[["site", "sex"]][:1])


@pytest.mark.parametrize("name", ["model", "harmonizer", "head"])
def test_half_a_bundle_is_refused(name, tmp_path):
    save_bundle(tmp_path, fit().fitted, variant="fc-toy", context={})
    file = tmp_path / "member-2" / f"{name}.safetensors"
    file.write_bytes(b"not arrays")
    with pytest.raises(InputError, match=rf"{name}\.safetensors are not of one model"):
        load_bundle(tmp_path)
    file.unlink()
    with pytest.raises(InputError, match=rf"member-2 has no {name}\.safetensors"):
        load_bundle(tmp_path)


def test_a_plain_bundle_takes_the_place_of_members(tmp_path):
    save_bundle(tmp_path, fit().fitted, variant="fc-toy", context={})
    plain = fit(HarmonizeConfig()).fitted
    save_bundle(tmp_path, plain, variant="fc-toy", context={})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"model.json", "model.safetensors"}


def test_notes_say_what_each_member_chose():
    notes = fit().notes
    json.dumps(notes, allow_nan=False)
    assert [one["head"]["n_features"] for one in notes["members"]] == [D] * 3
    held = [one["n_rows_held_out"] for one in notes["members"]]
    assert sum(held) == len(FOLD.train)
    sites = [one["harmonizer"]["sites"] for one in notes["members"]]
    for site in "ABC":
        n = [one[site] for one in sites]
        assert max(n) - min(n) <= 1
        assert sum(n) == (SITE[FOLD.train] == site).sum()
    traits = TRAITS.copy()
    traits.loc[FOLD.test, "age"] = 20
    traits.loc[FOLD.test[:4], "age"] = 90
    assert fit(traits=traits).notes["outside"] == 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_embeddings_that_are_no_numbers_are_refused(bad, monkeypatch):
    def embed(self, x):
        return np.full((len(x), 2), bad)

    monkeypatch.setattr(Toy, "embed", embed)
    with pytest.raises(InputError, match=r"embeddings: .* not finite"):
        fit()
    monkeypatch.setattr(Toy, "embed", lambda self, x: np.zeros(len(x)))
    with pytest.raises(InputError, match=r"embeddings of shape \(\d+,\) of \d+ rows"):
        fit()


cells = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=60
)


@given(people=cells, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_parts_are_alike_in_sites_and_whole_in_families(people, seed):
    site = np.array([f"s{one}" for one, _ in people], object)
    y = np.array([label for _, label in people])
    part = dealt(np.arange(len(y)), site, y, seed=seed)
    for name in np.unique(site):
        counts = np.bincount(part[site == name], minlength=N_PARTS)
        assert np.ptp(counts) <= 1
    family = np.random.default_rng(seed).integers(len(y) // 3 + 1, size=len(y))
    part = dealt(family, site, y, seed=seed)
    assert all(len(set(part[family == one])) == 1 for one in family)
    assert np.array_equal(part, dealt(7 * family + 3, site, y, seed=seed))


def test_six_people_of_a_site_are_enough():
    site = np.array(["A"] * 6 + ["B"] * 30, object)
    y = np.arange(36) % 2
    for seed in range(20):
        part = dealt(np.arange(36), site, y, seed=seed)
        check(part, site, y, "refuse")
        assert set(np.bincount(part[:6])) == {LEAST}
        assert np.ptp(np.bincount(part[y == 1])) <= 1
    assert len({tuple(dealt(np.arange(36), site, y, seed=s)) for s in range(9)}) > 5


def test_a_head_refuses_what_it_cannot_read():
    rng = np.random.default_rng(0)
    head = LinearHead().fit(rng.normal(size=(20, 3)), np.arange(20) % 2)
    with pytest.raises(InputError, match=r"embeddings of 2 numbers; .* from 3"):
        head.decide(np.zeros((1, 2)))
    with pytest.raises(InputError, match=r"20 rows, all of class 1; .* both classes"):
        LinearHead().fit(rng.normal(size=(20, 3)), np.ones(20, int))
    flat = np.column_stack([np.full(20, 7.0), rng.normal(size=20)])
    made = LinearHead().fit(flat, np.arange(20) % 2)
    assert np.isfinite(made.score(flat)).all()
    noise = flat + 1e-8 * rng.normal(size=flat.shape)  # of a column that is constant
    near = LinearHead().fit(noise, np.arange(20) % 2)
    np.testing.assert_allclose(near.score(flat + 1e-4), made.score(flat), atol=1e-3)
    again = LinearHead.restore(made.arrays())
    np.testing.assert_array_equal(again.decide(flat), made.decide(flat))
