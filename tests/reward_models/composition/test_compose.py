"""Totals by hand, with scorers whose values are written into the items; and what may never happen."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivox.platform.errors import UsageError
from trivox.platform.records import FinishReason, ScorerRole
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.reward_models.composition import Composition, CompositionConfig, PartState
from trivox.reward_models.registry import entry

Told = float | FailureKind


class Written:
    """Stands for a scorer of the registry: value or failure by name from the item's text, "distillmos=3 end=1"."""

    def __init__(self, name: str) -> None:
        known = entry(name)
        self.info = ScorerInfo(name, "1", "0" * 64, known.family, name, known.unit, known.direction)
        self.asked: list[str] = []

    def score(self, items: Sequence[Item]) -> list[Value]:
        self.asked += [item.rollout for item in items]
        return [self._one(item) for item in items]

    def _one(self, item: Item) -> Value:
        told = dict(part.split("=") for part in (item.text or "").split())[self.info.name]
        kinds = [kind for kind in FailureKind if kind == told]
        return failed(kinds[0], "written so") if kinds else Value(float(told))


def item(name: str, prompt: str = "p", **told: Told) -> Item:
    text = " ".join(f"{key.replace('_', '-')}={value}" for key, value in told.items())
    return Item(name, None, None, text, "en", FinishReason.END, prompt=prompt)


def composition(*components: dict[str, object], **more: object) -> Composition:
    gates = more.pop("gate", [])
    config = {"name": "t", "branch": "tts", "component": components, "gate": gates, **more}
    return Composition.of(CompositionConfig.model_validate(config), build=Written)


MOS = {"scorer": "distillmos", "normalise": {"by": "range", "worst": 1, "best": 5}, "clip": [0, 1]}
WER = {
    "scorer": "whisper-base-wer",
    "normalise": {"by": "range", "worst": 1, "best": 0},
    "clip": [0, 1],
}
LIKE = {"scorer": "speaker-similarity", "clip": [0, 1], "missing": ["no_voice"]}


def told(
    mos: Told = 5.0,
    wer: Told = 0.0,
    like: Told = 1.0,
    name: str = "r",
    prompt: str = "p",
    end: Told = 1.0,
) -> Item:
    values = {"distillmos": mos, "whisper_base_wer": wer, "speaker_similarity": like, "end": end}
    return item(name, prompt, **values)


def test_a_total_by_hand() -> None:
    """MOS 3 is 0.5, WER 0.5 is 0.5 with weight 2, likeness 0.125: (0.5 * 0.25 * 0.125)^(1/4) = 2^(-6/4) =
    0.35355."""
    made = composition(MOS, WER | {"weight": 2}, LIKE)
    [found] = made.score([told(3.0, 0.5, 0.125)])
    assert found.total.value == pytest.approx(2**-1.5)
    assert [part.share for part in found.parts] == [0.5, 0.5, 0.125]
    assert found.disagreement == pytest.approx(0.375 * (3 / 16) ** 0.5)
    assert found.stopped_by is None and found.total.evidence is not None


def test_scale_and_sum_by_hand() -> None:
    """2 * (1 * 0.5 + 3 * 0.25) = 2.5."""
    made = composition(MOS, LIKE | {"weight": 3, "missing": []}, combine="sum", scale=2)
    assert made.score([told(3.0, like=0.25)])[0].total.value == pytest.approx(2.5)


def test_a_gate_stops_and_nobody_listens_on() -> None:
    made = composition(
        MOS, gate=[{"scorer": "end"}, {"scorer": "whisper-base-wer", "at_most": 0.5}]
    )
    stopped, wrong, good = made.score(
        [told(end=0.0, name="a"), told(wer=0.51, name="b"), told(wer=0.5, name="c")]
    )
    assert (stopped.total.value, stopped.stopped_by) == (0.0, "end")
    assert (wrong.total.value, wrong.stopped_by) == (0.0, "whisper-base-wer")
    assert good.total.value == 1.0
    assert [part.state for part in stopped.parts] == [
        PartState.STOPPED, PartState.NOT_ASKED, PartState.NOT_ASKED,
    ]  # fmt: skip
    assert made._scorers["distillmos"].asked == ["c"]  # type: ignore[attr-defined]
    assert made._scorers["whisper-base-wer"].asked == ["b", "c"]  # type: ignore[attr-defined]


def test_a_gate_that_is_weighed_too_is_asked_once() -> None:
    made = composition(WER, gate=[{"scorer": "whisper-base-wer", "at_most": 0.5}])
    assert made.score([told(wer=0.25)])[0].total.value == 0.75
    assert made._scorers["whisper-base-wer"].asked == ["r"]  # type: ignore[attr-defined]


def test_a_failed_part_fails_the_total_and_says_which() -> None:
    made = composition(MOS, WER, gate=[{"scorer": "end"}])
    broken, ungated = made.score(
        [told(FailureKind.BROKEN_AUDIO), told(end=FailureKind.NO_FINISH_REASON)]
    )
    for found, scorer, cause in (
        (broken, "distillmos", "broken_audio"),
        (ungated, "end", "no_finish_reason"),
    ):
        assert found.total.value is None and found.total.failure is not None
        assert found.total.failure.kind == "component_failed"
        assert f"{scorer}: {cause}" in found.total.failure.message


def test_a_part_is_left_out_by_policy_alone() -> None:
    """Likeness may be missing for want of a voice, not for want of speech. MOS alone is 0.5."""
    made = composition(MOS, LIKE)
    without, short = made.score(
        [told(3.0, like=FailureKind.NO_VOICE), told(3.0, like=FailureKind.SHORT_AUDIO)]
    )
    assert without.total.value == pytest.approx(0.5)
    assert without.parts[1].state is PartState.LEFT_OUT
    assert short.total.value is None


def test_nothing_left_is_a_failure() -> None:
    [found] = composition(LIKE).score([told(like=FailureKind.NO_VOICE)])
    assert found.total.failure is not None and found.total.failure.kind == "component_failed"


GROUP = {"scorer": "distillmos", "normalise": {"by": "group"}, "clip": [-3, 3]}


def test_groups_by_hand() -> None:
    """MOS 2 and 4 of one prompt lie one deviation from 3; 5 and 5 of another lie nowhere; one alone has no
    group."""
    made = composition(GROUP, combine="mean", stopped=-3)
    items = [
        told(2.0, prompt="a"),
        told(5.0, prompt="b"),
        told(4.0, prompt="a"),
        told(5.0, prompt="b"),
        told(1.0, prompt="c"),
    ]
    found = made.score(items)
    assert [one.total.value for one in found[:4]] == [-1, 0, 1, 0]
    assert found[4].parts[0].value is not None and found[4].parts[0].value.failure is not None
    assert found[4].parts[0].value.failure.kind == "lonely"
    assert found[4].total.value is None


def test_lower_is_better_also_in_deviations() -> None:
    made = composition(
        WER | {"normalise": {"by": "group"}, "clip": [-3, 3]}, combine="mean", stopped=-3
    )
    assert [one.total.value for one in made.score([told(wer=0.1), told(wer=0.3)])] == pytest.approx(
        [1, -1]
    )


def test_running_statistics_are_those_of_the_batches_before() -> None:
    """The first batch, 2 and 4, is measured by itself; then 5 lies two deviations above 3. After that 2, 4, 5
    count: mean 11/3, and the state goes through a restart."""
    rule = {"scorer": "distillmos", "normalise": {"by": "running"}, "clip": [-3, 3]}
    made = composition(rule, combine="mean", stopped=-3)
    assert [one.total.value for one in made.score([told(2.0), told(4.0)])] == [-1, 1]
    assert made.score([told(5.0)])[0].total.value == pytest.approx(2)
    again = composition(rule, combine="mean", stopped=-3)
    again.restore(made.state())
    later = [one.score([told(11 / 3)])[0].total.value for one in (made, again)]
    assert later == pytest.approx([0, 0], abs=1e-12)
    with pytest.raises(UsageError, match="belongs to another one"):
        composition(MOS).restore(made.state())


def test_only_a_steady_composition_is_a_scorer() -> None:
    assert composition(MOS).scorer().score([told(3.0)])[0].value == 0.5
    with pytest.raises(UsageError, match="normalises over a batch"):
        composition(GROUP, combine="mean", stopped=-3).scorer()


def test_every_part_is_logged_beside_the_total() -> None:
    made = composition(MOS, LIKE, gate=[{"scorer": "end"}])
    asked = replace(told(3.0), scope="turn:1")
    scores = made.to_scores(asked, made.score([asked])[0], project="p", round="r")
    assert [(one.scorer, one.role) for one in scores] == [
        ("composition:t", ScorerRole.REWARD), ("end", ScorerRole.GATE),
        ("distillmos", ScorerRole.REWARD), ("speaker-similarity", ScorerRole.REWARD),
    ]  # fmt: skip
    assert {one.scope for one in scores} == {"turn:1"} and len({one.id for one in scores}) == 4
    assert scores[0].family == "distillmos+resemblyzer+signal"


VALUES = st.one_of(
    st.floats(0, 1),
    st.sampled_from([FailureKind.NO_VOICE, FailureKind.SCORER_ERROR, FailureKind.SHORT_AUDIO]),
)
ITEMS = st.lists(st.tuples(VALUES, VALUES, VALUES, st.sampled_from("ab")), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(ITEMS, st.randoms(), st.sampled_from(["range", "group", "running"]))
def test_order_changes_no_bit_and_no_failure_becomes_a_number(
    drawn: list[tuple[Told, Told, Told, str]], random: st.DataObject, by: str
) -> None:
    """Whatever fails, for whatever cause, in whatever order: totals go with their items, and a total is a number
    only where each part counted or its failure is one that may be missing."""
    rule = (
        MOS if by == "range" else {"scorer": "distillmos", "normalise": {"by": by}, "clip": [-3, 3]}
    )
    items = [
        told(mos, wer, like, f"r{at}", prompt) for at, (mos, wer, like, prompt) in enumerate(drawn)
    ]
    mixed = items.copy()
    random.shuffle(mixed)  # type: ignore[attr-defined]
    results = []
    for order in (items, mixed):
        made = composition(rule, WER, LIKE, combine="mean", stopped=-3)
        results.append(dict(zip([one.rollout for one in order], made.score(order), strict=True)))
    assert results[0] == results[1]
    for found in results[0].values():
        fine = all(part.state in (PartState.COUNTED, PartState.LEFT_OUT) for part in found.parts)
        assert (found.total.value is not None) == fine
