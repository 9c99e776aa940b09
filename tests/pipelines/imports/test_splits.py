"""Groups and splits: what belongs together never falls in two splits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivox.pipelines.imports.languages import language_tag
from trivox.pipelines.imports.splits import (
    AUDIO,
    NAMED,
    TEXT,
    SplitPlan,
    assign,
    connected_groups,
)
from trivox.platform.records import Split

keys = st.tuples(st.sampled_from([NAMED, TEXT, AUDIO]), st.sampled_from("abcdefgh"))
rows = st.lists(st.lists(keys, min_size=1, max_size=3), max_size=30)
shares = st.sampled_from([0, 0.1, 0.3, 0.5, 1])


@given(rows, shares, st.integers(0, 5), st.dictionaries(st.integers(0, 29), st.sampled_from(Split)))
@settings(deadline=None)
def test_no_key_is_in_two_splits(
    rows: list[list[tuple[int, str]]], share: float, seed: int, explicit: dict[int, Split]
) -> None:
    groups = connected_groups(rows)
    wanted = {groups[row]: split for row, split in explicit.items() if row < len(rows)}
    splits = assign(groups, wanted, SplitPlan(share, 0, seed))
    places: dict[tuple[int, str], Split] = {}
    for row, group in zip(rows, groups, strict=True):
        for key in row:
            assert places.setdefault(key, splits[group]) == splits[group]
    assert all(splits[group] == split for group, split in wanted.items())


@given(rows, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_groups_do_not_depend_on_order(rows: list[list[tuple[int, str]]], rng: object) -> None:
    order = list(range(len(rows)))
    rng.shuffle(order)  # type: ignore[attr-defined]
    shuffled = connected_groups([rows[index] for index in order])
    assert dict(zip(order, shuffled, strict=True)) == dict(enumerate(connected_groups(rows)))


def test_a_chain_of_shared_keys_is_one_group() -> None:
    """Rows 0 and 2 share nothing; row 1 shares a text with one and a recording with the other."""
    rows = [[(TEXT, "a")], [(TEXT, "a"), (AUDIO, "x")], [(TEXT, "b"), (AUDIO, "x")], [(TEXT, "c")]]
    first, second, third, alone = connected_groups(rows)
    assert first == second == third != alone
    assert connected_groups([[(TEXT, "a")], [(NAMED, "mine"), (TEXT, "a")]]) == ["mine", "mine"]


@given(st.sets(st.text("abcdef", min_size=1), min_size=2, max_size=40), st.integers(0, 3))
def test_more_groups_move_none(names: set[str], seed: int) -> None:
    """Beyond the few that keep a split from being empty, a group's place depends on its name alone."""
    groups, plan = sorted(names), SplitPlan(0.5, 0, seed)
    fewer, all_of_them = assign(groups[:-1], {}, plan), assign(groups, {}, plan)
    moved = [group for group in fewer if fewer[group] != all_of_them[group]]
    assert len(moved) <= 1


def test_shares_are_met_on_average() -> None:
    groups = [f"g{i}" for i in range(4000)]
    counts = list(assign(groups, {}, SplitPlan(0.2, 0.1, 3)).values())
    assert counts.count(Split.TEST) == pytest.approx(800, abs=3 * 25.3)  # 3 binomial deviations
    assert counts.count(Split.VALIDATION) == pytest.approx(400, abs=3 * 19)


@pytest.mark.parametrize("seed", range(20))
def test_two_groups_fill_train_and_test(seed: int) -> None:
    splits = assign(["a", "b"], {}, SplitPlan(0.1, 0, seed))
    assert sorted(splits.values()) == [Split.TEST, Split.TRAIN]
    assert assign(["a"], {}, SplitPlan(0, 0, seed)) == {"a": Split.TRAIN}
    assert assign(["a"], {}, SplitPlan(1, 0, seed)) == {"a": Split.TEST}
    assert set(assign(["a", "b", "c"], {}, SplitPlan(0, 0, seed)).values()) == {Split.TRAIN}
    assert set(assign(list("abcdefghij"), {}, SplitPlan(0.1, 0.1, seed)).values()) == set(Split)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("en", "en"), ("EN-us", "en-US"), ("zh-cn", "zh-CN"), ("zh-hant-tw", "zh-Hant-TW"),
        ("yue", "yue"), ("es-419", "es-419"), ("de-CH-1996", "de-CH-1996"), ("sl-rozaj", "sl-rozaj"),
        ("en-x-Home", "en-x-home"), (" fr ", "fr"),
        ("english", None), ("en_US", None), ("", None), ("e", None), ("zh-", None), ("中文", None),
    ],
)  # fmt: skip
def test_language_tags(text: str, tag: str | None) -> None:
    assert language_tag(text) == tag
