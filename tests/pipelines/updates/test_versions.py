"""Back into the shared model: measured, compared, promoted, rolled back, merged; and everything that is
refused.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.pipelines.training.conftest import (
    Record,
    asr_prompt_of,
    base_record,
    set_of,
    tts_prompt_of,
)
from tests.policy.conftest import write_hearing_backbone
from tests.policy.trainers.test_merging import write_adapter
from trivox.annotation.people.audit import verify
from trivox.cli import app
from trivox.pipelines.training.mtp import MTPSettings
from trivox.pipelines.updates import evaluating, merging, promotion
from trivox.pipelines.updates.comparing import compared, inferior, won
from trivox.pipelines.updates.evaluating import baseline_of, compare, evaluate
from trivox.pipelines.updates.merging import MergeRecipe, merge
from trivox.pipelines.updates.promotion import promote, rollback
from trivox.pipelines.updates.suites import Suites
from trivox.platform.errors import ConfigError, UsageError
from trivox.platform.hashing import sha256_file
from trivox.platform.records import (
    AuditEntry,
    Branch,
    Decision,
    Evaluation,
    PolicyStatus,
    PolicyVersion,
    Split,
)
from trivox.platform.registry import promoted, register, resolve
from trivox.platform.store import Workspace
from trivox.policy.backbone import backbone_hash
from trivox.policy.mtp import MTP_WEIGHTS
from trivox.policy.resident import ADAPTER_WEIGHTS

LOOSE: dict[str, Any] = {
    "asr": {"prompts": "calls", "max_tokens": 8},
    "tts": {"prompts": "lines", "scorers": ["audible"], "max_tokens": 24},
    "realtime": {
        "count": 2,
        "scorers": [],
        "max_tokens": 12,
        "dialogue": {"turns": 1, "user": "text"},
    },
    "margins": {"transcript-errors": 9, "audible": 9, "rubric": 9},
}
SUITES = Suites.model_validate(LOOSE)
STRICT = Suites.model_validate(LOOSE | {"margins": {}})


@pytest.fixture
def held(ws: Workspace, record: Record) -> Workspace:
    """Two held-out prompts for asr and tts, and an adapter for each branch."""
    set_of(ws, "calls", [asr_prompt_of(record(300 + i), "ab"[i]) for i in range(2)], Split.TEST)
    set_of(ws, "lines", [tts_prompt_of(record(400), text) for text in ("a b", "ba")], Split.TEST)
    for number, branch in enumerate(Branch):
        adapter(ws, branch.value, branch, number)
    return ws


def adapter(ws: Workspace, name: str, branch: Branch, seed: int, of: str = "tiny") -> PolicyVersion:
    below = resolve(ws, of)
    folder = write_adapter(ws.root / below.artefact, ws.root / "artefacts" / name, seed)
    made = base_record(ws.project, sha256_file(folder / ADAPTER_WEIGHTS))
    return register(
        ws,
        PolicyVersion(
            **vars(made)
            | {
                "id": f"po_{name}",
                "name": name,
                "branch": branch,
                "parents": {below.id: 1.0},
                "backbone": below.id,
                "artefact": f"artefacts/{name}",
                "status": PolicyStatus.CANDIDATE,
            }
        ),
    )


def statuses(ws: Workspace) -> dict[str, str]:
    return {one.name: one.status.value for one in ws.records.find(PolicyVersion)}


def rows(*values: tuple[str, float | None, float]) -> list[dict[str, Any]]:
    return [{"prompt": p, "transcript-errors": e, "rubric": r} for p, e, r in values]


def test_a_comparison_by_hand() -> None:
    """Errors .5 -> .2, .1 -> .1 and a failure: one won, one tied in both figures, one failed. The change of the
    errors is the mean of -.3 and 0; every figure stays within a margin of 1, and the rubric not within 0."""
    before = rows(("a", 0.5, 0.8), ("b", 0.1, 0.5), ("c", None, 0.5))
    after = rows(("a", 0.2, 0.2), ("b", 0.1, 0.5), ("c", 0.1, 0.5))
    suites = Suites(margins={"transcript-errors": 1.0})
    found = compared(before, after, Branch.ASR, suites).results
    win = found["win_rate"]
    assert (win["wins"], win["losses"], win["ties"], win["failed"]) == (1, 0, 1, 1)
    change = found["changes"]["transcript-errors"]
    assert change["mean"] == pytest.approx(-0.15) and change["failed"] == 1
    assert change["non_inferior"] and not found["changes"]["rubric"]["non_inferior"]
    assert [one.split()[0] for one in inferior(found)] == ["rubric"]
    assert "begins at" in won(found)[0]
    with pytest.raises(ConfigError, match="3 and 1 prompts were measured, 1 of them the same"):
        compared(before, after[:1], Branch.ASR, suites)


def test_a_suite_names_what_prompts_are_won_by() -> None:
    """Errors fall and the rubric falls too: won by the errors, lost by the rubric. What nobody measured wins
    nothing."""
    before, after = rows(("a", 0.5, 0.8), ("b", 0.4, 0.5)), rows(("a", 0.2, 0.2), ("b", 0.1, 0.1))

    def wins(main: str | None) -> int:
        suites = Suites.model_validate({"asr": {"main": main}})
        found: int = compared(before, after, Branch.ASR, suites).results["win_rate"]["wins"]
        return found

    assert [wins(None), wins("transcript-errors"), wins("rubric")] == [2, 2, 0]
    with pytest.raises(ConfigError, match="suites.asr.main is 'dnsmos', which is not measured"):
        wins("dnsmos")


def test_a_suite_says_what_is_wanted_of_a_measure() -> None:
    """Asked to be slow, the voice goes from 12 to 9 and from 10 to 11 letters a second: one won, one lost, and the
    mean of -3 and +1 is within no margin but where less is wanted. Without that word pace wins nothing."""
    before = [{"prompt": p, "librosa-rate": rate} for p, rate in (("a", 12.0), ("b", 10.0))]
    after = [{"prompt": p, "librosa-rate": rate} for p, rate in (("a", 9.0), ("b", 11.0))]
    slow = Suites.model_validate({"tts": {"main": "librosa-rate"}, "wanted": {"librosa-rate": -1}})
    found = compared(before, after, Branch.TTS, slow).results
    assert (found["win_rate"]["wins"], found["win_rate"]["losses"]) == (1, 1)
    assert found["changes"]["librosa-rate"]["mean"] == pytest.approx(-1.0)
    assert slow.better("librosa-rate") == -1 and slow.better("dnsmos") == 1
    assert compared(before, after, Branch.TTS, Suites()).results["changes"] == {}


def test_what_says_nothing_where_it_is_bad_is_inferior() -> None:
    """Ten prompts, errors halved where there are any; the candidate fails on two, where the baseline fails on one:
    one more of ten is more than 2%. With as many failures as before it passes."""
    before = rows(*((f"p{i}", None if i == 0 else 0.4, 0.5) for i in range(10)))
    silent = rows(*((f"p{i}", None if i < 2 else 0.2, 0.5) for i in range(10)))
    found = compared(before, silent, Branch.ASR, Suites()).results
    assert won(found) == []  # eight of eight
    assert inferior(found) == [
        "transcript-errors has no value for 2 of 10 prompts, 1 more than before, at most 2% is allowed"
    ]
    other = rows(*((f"p{i}", None if i == 1 else 0.2, 0.5) for i in range(10)))
    assert inferior(compared(before, other, Branch.ASR, Suites()).results) == []


def test_a_measurement_is_made_once(held: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {one: evaluate(held, resolve(held, one.value), one, SUITES) for one in Branch}
    assert found[Branch.ASR].results["figures"]["transcript-errors"]["n"] == 2
    assert found[Branch.REALTIME].results["figures"]["rubric"]["mean"] is not None
    assert "audible" in found[Branch.TTS].results["figures"]
    monkeypatch.setattr(evaluating, "measure", None)
    assert evaluate(held, resolve(held, "asr"), Branch.ASR, SUITES) == found[Branch.ASR]
    with pytest.raises(ConfigError, match="asr is an adapter of asr: measure it on asr"):
        evaluate(held, resolve(held, "asr"), Branch.TTS, SUITES)


def test_promotion_asks_for_evidence(held: Workspace) -> None:
    """None, then a comparison that was not won; with a reason it is waived, which is kept; then back again."""
    one = resolve(held, "asr")
    before = statuses(held)
    with pytest.raises(UsageError, match="not compared with tiny, which is in use"):
        promote(held, one)
    assert baseline_of(held, one, Branch.ASR).name == "tiny"
    compare(held, one, resolve(held, "tiny"), Branch.ASR, SUITES)
    with pytest.raises(UsageError, match="is not promoted: (no prompt was decisive|the win rate)"):
        promote(held, one)
    assert statuses(held) == before and not held.records.find(AuditEntry)
    decision = promote(held, one, force="only we use it")
    assert decision.reason == "only we use it" and decision.evidence["waived"]
    assert promoted(held, Branch.ASR) == resolve(held, "asr")
    two = adapter(held, "asr-2", Branch.ASR, 7)
    promote(held, two, force="newer")
    assert statuses(held)["asr"] == "retired"
    back = rollback(held, Branch.ASR, "it was not better")
    assert back.evidence["restored"] == {"po_asr": decision_status(decision)}
    assert promoted(held, Branch.ASR) == resolve(held, "asr")
    rollback(held, Branch.ASR, "none of them")
    assert promoted(held, Branch.ASR) is None
    with pytest.raises(UsageError, match="asr: nothing is in use there"):
        rollback(held, Branch.ASR, "again")
    actions = [one.action for one in held.records.find(AuditEntry)]
    assert actions == ["promote policy"] * 2 + ["roll back policy"] * 2
    assert verify(held) == 4


def decision_status(decision: Decision) -> str:
    """A promotion without a comparison is one that only proxies stand for."""
    assert decision.kind == "promotion"
    return (
        PolicyStatus.PROMOTED.value if decision.evidence.get("evaluation") else "promoted (proxy)"
    )


def test_a_promotion_is_whole_or_nothing(held: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = statuses(held)

    def full(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(promotion, "note", full)
    with pytest.raises(OSError, match="disk full"):
        promote(held, resolve(held, "tts"), force="now")
    assert statuses(held) == before and not held.records.find(Decision, kind="promotion")


def test_a_merge_takes_the_place_of_what_it_covers(held: Workspace) -> None:
    """asr and tts are folded in, realtime is carried over; promoted and rolled back together."""
    for name in ("asr", "realtime"):
        promote(held, resolve(held, name), force="for the test")
    before = statuses(held)
    recipe = MergeRecipe(adapters={"asr": 1.0, "tts": 0.5}, suites=SUITES)
    made = merge(held, recipe, "whole")
    assert made["passed"] and made["status"] == "candidate"
    assert set(made["changes"]) == {"asr", "tts", "realtime"}
    assert list(made["carried"]) == ["po_realtime"]
    again = merge(held, recipe, "whole")
    assert again["id"] == made["id"]
    promote(held, resolve(held, "whole"))
    assert promoted(held, None) == resolve(held, "whole")
    assert promoted(held, Branch.ASR) is None
    assert promoted(held, Branch.REALTIME) == resolve(held, "realtime-on-whole")
    now = statuses(held)
    assert (now["tiny"], now["asr"], now["realtime"]) == ("retired",) * 3
    rollback(held, None, "it drafts badly")
    after = statuses(held)
    assert {name: after[name] for name in before} == before
    assert after["whole"] == after["realtime-on-whole"] == "retired"


def test_a_merge_that_was_measured_against_what_is_gone_is_outdated(held: Workspace) -> None:
    """Two merges beside one another: once the first is in use, nobody has held the second against it."""
    for name, weight in (("one", 1.0), ("two", 0.5)):
        recipe = MergeRecipe(adapters={"tts": weight}, suites=SUITES)
        assert merge(held, recipe, name)["passed"]
    promote(held, resolve(held, "one"))
    with pytest.raises(
        UsageError, match="measured against tiny and one is in use now: merge again"
    ):
        promote(held, resolve(held, "two"))
    assert promoted(held, None) == resolve(held, "one")


def test_a_family_that_rewarded_does_not_promote(held: Workspace) -> None:
    """Nor does the comparison speak against it so long as nothing says by what it was rewarded."""
    policy = resolve(held, "tts")
    compare(held, policy, resolve(held, "tiny"), Branch.TTS, SUITES)
    with pytest.raises(UsageError) as before:
        promote(held, policy)
    level: dict[str, Any] = {"scorer": "level", "clip": [0.0, 1.0]}
    level["normalise"] = {"by": "target", "target": -12.0, "tolerance": 20.0}
    gates = [{"scorer": "audible"}]
    reward: dict[str, Any] = {"name": "mine", "branch": "tts", "combine": "mean", "gate": gates}
    reward["component"] = [level]
    held.records.add(
        Decision(
            "de_made", held.project, "training", policy.id, "trainer:grpo@1", "made", policy.created_at,
            {"composition": reward},
        )
    )  # fmt: skip
    with pytest.raises(UsageError, match="'audible' labels or rewards and 'audible' evaluates"):
        promote(held, policy)
    assert "labels or rewards" not in str(before.value)


def test_a_merge_that_makes_something_worse_is_rejected(held: Workspace) -> None:
    """Every change at all is more than a margin of 0 allows; the reasons name the branches."""
    made = merge(held, MergeRecipe(adapters={"tts": 40.0}, suites=STRICT), "broken")
    assert not made["passed"] and made["status"] == "rejected"
    assert any(fault.split(":")[0] in ("asr", "realtime", "tts") for fault in made["faults"])
    with pytest.raises(UsageError, match=r"broken is not promoted: (asr|tts|realtime): "):
        promote(held, resolve(held, "broken"))
    assert promoted(held, None) == resolve(held, "tiny")


@pytest.mark.slow
def test_blocks_that_draft_worse_are_trained_anew(
    held: Workspace, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that is measured again, and that the decision is about, is the one with the new blocks. (That
    they draft worse is said to the first question and denied to the second.)"""
    spoken = [asr_prompt_of(record(320 + i), "ab a") for i in range(2)]
    set_of(held, "spoken", spoken)
    answers = iter([True, False])
    monkeypatch.setattr(merging, "_drafts_worse", lambda found: next(answers))
    recipe = MergeRecipe(
        adapters={"asr": 1.0},
        suites=SUITES,
        mtp_data={"spoken": 1.0},
        mtp=MTPSettings(depth=2, steps=2),
    )
    made = merge(held, recipe, "whole")
    assert made["policy"] == "whole-drafts" and made["passed"]
    changes = made["changes"]["asr"]
    assert (held.root / made["artefact"] / MTP_WEIGHTS).exists()
    assert "transcript-errors" in changes
    promote(held, resolve(held, "whole-drafts"))
    assert promoted(held, None) == resolve(held, "whole-drafts")


def test_a_backbone_without_a_merge(held: Workspace) -> None:
    """All weights trained, say: it was measured by no merge, and adapters in use do not fit it."""
    promote(held, resolve(held, "asr"), force="for the test")
    other = write_hearing_backbone(held.root / "other", seed=1)
    record = base_record(held.project, backbone_hash(other))
    changes = {"id": "po_other", "name": "other", "artefact": "other"}
    full = register(
        held,
        PolicyVersion(**vars(record) | changes | {"status": PolicyStatus.CANDIDATE}),
    )
    with pytest.raises(UsageError, match="no merge and no comparison with .* asr is in use on asr"):
        promote(held, full)
    adapter(held, "foreign", Branch.TTS, 1, of="other")
    with pytest.raises(ConfigError, match="adapters of one merge have one backbone, given are"):
        merge(held, MergeRecipe(adapters={"tts": 1.0, "foreign": 1.0}), "both")
    with pytest.raises(ConfigError, match="policy tiny is a backbone"):
        merge(held, MergeRecipe(adapters={"tiny": 1.0}), "both")


def test_a_backbone_that_was_trained_in_full(
    held: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared on two of three branches it is refused, and so is one that won on none or is worse on one; then it
    is in use, as what all of them run on."""
    other = write_hearing_backbone(held.root / "other", seed=1)
    record = base_record(held.project, backbone_hash(other))
    changes = {"id": "po_full", "name": "full", "artefact": "other"}
    changes |= {"parents": {resolve(held, "tiny").id: 1.0}, "status": PolicyStatus.CANDIDATE}
    full = register(held, PolicyVersion(**vars(record) | changes))
    monkeypatch.setattr(evaluating, "won", lambda results: ["it is no better"])
    for branch in (Branch.ASR, Branch.TTS):
        compare(held, full, resolve(held, "tiny"), branch, SUITES)
    with pytest.raises(UsageError, match="realtime: no merge and no .* won on"):
        promote(held, full)
    compare(held, full, resolve(held, "tiny"), Branch.REALTIME, SUITES)
    with pytest.raises(UsageError, match="won on no branch of asr, tts, realtime"):
        promote(held, full)
    results = {"win_rate": {}, "changes": {}, "inferior": [], "not_won": []}
    better = held.records.find(Evaluation, policy=full.id)[-1]
    held.records.add(replace(better, id="ev_won", parent=resolve(held, "tiny").id, results=results))
    decision = promote(held, full)
    assert set(decision.evidence["evaluations"]) == {"asr", "tts", "realtime"}
    assert promoted(held, None) == resolve(held, "full")
    worse = replace(better, id="ev_worse", results=results | {"inferior": ["rubric changes by -1"]})
    again = replace(full, id="po_again", name="again")
    held.records.add(again)
    for number, one in enumerate(held.records.find(Evaluation, policy=full.id)):
        held.records.add(replace(one, id=f"ev_{number}", policy=again.id, parent=full.id))
    held.records.add(replace(worse, policy=again.id, parent=full.id))
    with pytest.raises(UsageError, match="realtime: rubric changes by -1"):
        promote(held, again)


def test_an_adapter_that_was_cut_short_is_not_merged(held: Workspace) -> None:
    file = held.root / "artefacts" / "tts" / ADAPTER_WEIGHTS
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ConfigError, match="tts: .* was changed or cut short"):
        merge(held, MergeRecipe(adapters={"tts": 1.0}, suites=SUITES), "broken")
    assert "broken" not in statuses(held)


def test_the_commands(held: Workspace, tmp_path: Path) -> None:
    """Each prints one JSON object with --json; a merge that did not pass ends with 1."""
    suites = tmp_path / "suites.toml"
    suites.write_text(
        '[suites.asr]\nmax_tokens = 8\n[suites.tts]\nscorers = ["audible"]\nmax_tokens = 16\n'
        "[suites.realtime]\ncount = 2\nscorers = []\nmax_tokens = 12\n"
        '[suites.realtime.dialogue]\nturns = 1\nuser = "text"\n[suites.margins]\n'
    )
    prompts = ["--prompts", "asr=calls", "--prompts", "tts=lines"]

    def run(*words: str, code: int = 0) -> dict[str, Any]:
        given = ["policy", *words, "--workspace", str(held.root), "--json"]
        ended = CliRunner().invoke(app, given, catch_exceptions=False)
        assert ended.exit_code == code
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    measured = run("evaluate", "asr", *prompts, "--suites", str(suites))
    assert measured["figures"]["asr"]["transcript-errors"]["n"] == 2
    held_against = run("compare", "asr", *prompts, "--suites", str(suites))
    assert held_against["branches"]["asr"]["with"] == "tiny"
    given = ["merge", "asr=30", "--name", "bad", "--recipe", str(suites), *prompts]
    assert not run(*given, code=1)["passed"]
    assert run("promote", "asr", "--force", "we know")["policy"] == "asr"
    assert run("rollback", "asr", "--reason", "we knew wrong")["branch"] == "asr"
    exported = run("export", "tts", "--out", str(tmp_path / "out"))
    assert "model.safetensors" in exported["files"] and "README.md" in exported["files"]
    assert run("show", "asr")["decisions"]
