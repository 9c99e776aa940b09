"""What a person asked to be forgotten is nowhere in the workspace, whenever the work was broken off."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trivox.annotation.people.audit import THE_SYSTEM, verify
from trivox.pipelines.datasets import freeze, versions_of
from trivox.pipelines.datasets.forgetting import Plan, Subject, forget, plan_for, unfinished
from trivox.pipelines.datasets.registry import exports
from trivox.pipelines.exports import export_bundle
from trivox.pipelines.imports import Terms, import_source
from trivox.platform.errors import NotFound, RefusedByConsent, UsageError
from trivox.platform.records import (
    Audio,
    Branch,
    Decision,
    FaultKind,
    Intake,
    Judgement,
    LabelStudioAnnotation,
    LabelStudioPerson,
    LabelStudioProject,
    LabelStudioTask,
    Person,
    PolicySample,
    PolicyStatus,
    PolicyVersion,
    Pool,
    PreferenceSet,
    Prompt,
    PromptSet,
    RewardModelVersion,
    Rollout,
    Round,
    RoundStatus,
    Score,
    ScorerRole,
    Speaker,
    Stage,
    Task,
    TaskFault,
)
from trivox.platform.records.scores import Direction
from trivox.platform.store import Workspace
from trivox.platform.store.artefacts import adapter_of
from trivox.platform.store.metrics import Metrics

Filled = Callable[..., Workspace]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "Annabel Secretname"


def grep(folder: Path, words: list[bytes]) -> list[tuple[str, bytes]]:
    """(file, word) of every word in the name or the bytes of every file below."""
    found = []
    for path in (one for one in folder.rglob("*") if one.is_file()):
        content = path.name.encode() + path.read_bytes()
        found += [(path.name, word) for word in words if word in content]
    return found


def model(ws: Workspace, name: str, **given: Any) -> PolicyVersion:
    held = {"branch": Branch.TTS, "parents": {}, "backbone": None, "round": None} | given
    return PolicyVersion(
        id=f"po_{name}",
        project=ws.project,
        name=name,
        artefact=f"policies/{name}",
        artefact_hash=name,
        status=PolicyStatus.CANDIDATE,
        created_at=NOON,
        **held,
    )


def with_history(ws: Workspace) -> tuple[Speaker, list[bytes]]:
    """The first voice gets a name, derivatives, scores, models and exports; returns it and the bytes to look
    for."""
    voice = ws.records.find(Speaker)[0]
    voice = replace(voice, name=SECRET)
    ws.records.replace(voice)
    native = ws.records.find(Audio, speaker=voice.id)[0]
    samples, _ = ws.audio.read(native.id)
    derived = ws.audio.put(
        samples[::2], 8000, project=ws.project, source="resampled", derived_from=native.id
    )
    ws.records.add(derived)
    rollouts = ws.tables.read(Rollout)
    ws.tables.write([score(one) for one in rollouts], branch=Branch.TTS, round="made-up", part="s")
    said = [sample(one) for one in rollouts]
    ws.tables.write(said, branch=Branch.TTS, round="po_child", part="step-000000")
    (set_,) = ws.records.find(PreferenceSet)
    ws.records.add(
        model(ws, "taught", round="made-up"),
        model(ws, "child", parents={"po_taught": 1.0}),
        model(ws, "clean"),
        RewardModelVersion("rm_1", ws.project, "reward", "rm", "h", (set_.id,), {}, NOON),
    )
    freeze(ws, "speech")
    export_bundle(ws, ws.root.parent / f"{ws.root.name}-out", "speech")
    prompts = [one for one in ws.records.find(Prompt) if one.voice_audio == native.id]
    names = [native.id, derived.id, *(one.id for one in prompts)]
    mine = [one for one in rollouts if one.prompt in {p.id for p in prompts}]
    names += [id for one in mine for id in (one.id, str(one.audio))]
    flac = ws.audio.path(native.id).read_bytes()[-200:]
    return voice, [SECRET.encode(), flac, *(name.encode() for name in names)]


def score(one: Rollout) -> Score:
    return Score(
        f"sc_{one.id}",
        one.project,
        one.round,
        one.id,
        "episode",
        "cer",
        "whisper",
        "1",
        "h",
        "whisper",
        ScorerRole.REWARD,
        "share",
        Direction.LOWER,
        0.5,
    )


def sample(one: Rollout) -> PolicySample:
    """What a policy said to the same prompt while it was trained."""
    return PolicySample(
        f"sa_{one.id}", one.project, "po_child", Branch.TTS, one.prompt, 0, one.index, 0, ((1,),), ((0.0,),),
        one.finish_reason, (1.0,),
    )  # fmt: skip


def test_a_speaker_is_nowhere_any_more(filled: Filled) -> None:
    ws = filled()
    voice, traces = with_history(ws)
    (set_,) = ws.records.find(PreferenceSet)
    before = {kind: len(ws.records.find(kind)) for kind in (Prompt, Audio, Task, Judgement)}
    assert {word for _, word in grep(ws.root, traces)} == set(traces)
    plan = plan_for(ws, Subject.SPEAKER, SECRET)
    assert {k: len(v) for k, v in plan.ids.items()} == {
        "audio": 8,
        "prompts": 3,
        "rollouts": 6,
        "scores": 6,
        "tasks": 3,
        "judgements": 9,
        "preferences": 3,
        "samples": 6,
        **dict.fromkeys(("faults", "pushed", "annotations", "accounts"), 0),
    }
    assert plan.models == ("po_child", "po_taught", "rm_1") and plan.rounds == ("made-up",)
    assert {kind: len(ws.records.find(kind)) for kind in before} == before  # a dry run
    done = forget(ws, plan, THE_SYSTEM, "on request", clock=lambda: NOON)
    ws.close()
    # The audit log and the record of the deletion name the set and the models, not what was in them.
    assert grep(ws.root, traces) == []
    assert {kind: len(ws.records.find(kind)) for kind in before} == {
        Prompt: 3,
        Audio: before[Audio] - 8,
        Task: 3,
        Judgement: 9,
    }
    left = ws.tables.read(Rollout)
    assert len(left) == 6 == len(ws.tables.read(Score)) and verify(ws) >= 1
    assert all(ws.audio.read(str(one.audio))[1] == 16_000 for one in left)
    (kept,) = ws.records.find(PreferenceSet)
    assert kept.id == set_.id and len(kept.preferences) == 3 and kept.dropped["forgotten"] == 3
    assert len(ws.records.find(PromptSet)[0].items) == 3
    record = ws.records.get(Decision, done.record.id)
    assert record.kind == "forget" and record.subject == voice.id
    assert record.evidence["models"] == list(plan.models)
    assert record.evidence["removed"]["judgements"] == 9
    assert record.evidence["removed"]["samples"] == 6
    (version,) = versions_of(ws)
    assert version.forgotten == (plan.id,) and freeze(ws, "speech")[0].version == 2
    assert done.exports == (str(ws.root.parent / "home-out"),)
    assert (Path(done.exports[0]) / "FORGOTTEN.json").is_file() and exports(ws)[0].forgotten
    assert unfinished(ws) == []


def test_who_was_forgotten_is_not_imported_again(filled: Filled, tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    ws = filled("home", prompts=0)
    source = tmp_path / "source"
    source.mkdir()
    soundfile.write(source / "a.wav", np.sin(np.arange(8000) / 9) * 0.3, 16_000)
    rows = [
        {"text": "hello there", "audio": "a.wav"},
        {"text": "", "audio": "a.wav", "speaker": "n"},
    ]
    (source / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options: dict[str, Any] = {"name": "own", "branch": Branch.ASR, "language": "en"}
    terms = Terms(speaker=SECRET)
    import_source(ws, str(source / "m.jsonl"), terms=terms, **options)
    forget(ws, plan_for(ws, Subject.SPEAKER, SECRET), THE_SYSTEM, "on request")
    ws.close()
    assert grep(ws.root, [SECRET.encode(), b"hello there"]) == []
    assert ws.records.find(Audio) == [] == list(ws.audio.stored())
    with pytest.raises(RefusedByConsent, match="revoked consent"):
        import_source(ws, str(source / "m.jsonl"), terms=terms, **options)


def test_an_annotator_is_nowhere_any_more(filled: Filled) -> None:
    ws = filled()
    person = Person(
        "01PERSON",
        SECRET,
        Pool.STAFF,
        NOON,
        {"en": "native"},
        issuer="local",
        subject="secretlogin",
    )
    ws.records.add(person)
    task = ws.records.find(Task)[0]
    first = ws.records.find(Judgement, task=task.id)[0]
    mine = replace(
        first, id="jd_mine", judge=person.id, idempotency_key="mine", comment="secret remark"
    )
    ws.records.add(mine)
    (set_,) = ws.records.find(PreferenceSet)
    touched = replace(set_.preferences[0], judgements=("jd_mine", *set_.preferences[0].judgements))
    ws.records.add(replace(set_, id="ps_mine", preferences=(touched, *set_.preferences[1:])))
    plan = plan_for(ws, Subject.ANNOTATOR, SECRET)
    assert plan.ids["judgements"] == ("jd_mine",) and plan.ids["audio"] == ()
    assert plan.preference_sets == ("ps_mine",)
    forget(ws, plan, THE_SYSTEM, "on request")
    ws.close()
    assert grep(ws.root, [SECRET.encode(), b"secretlogin", b"secret remark", b"jd_mine"]) == []
    assert len(ws.records.find(Judgement)) == 18 and len(ws.records.find(Task)) == 6
    assert len(ws.records.get(PreferenceSet, "ps_mine").preferences) == len(set_.preferences) - 1
    assert ws.records.get(PreferenceSet, set_.id) == set_
    label = ws.records.find(Judgement)[0].judge  # those who judged elsewhere have only a label
    again = plan_for(ws, Subject.ANNOTATOR, label)
    assert len(again.ids["judgements"]) == 6
    with pytest.raises(NotFound, match="no annotator"):
        plan_for(ws, Subject.ANNOTATOR, SECRET)


def pushed(ws: Workspace, task: Task, account: int = 7) -> list[Any]:
    """A task as it lies in Label Studio, and what two accounts wrote there, one of it no judgement."""
    lies = LabelStudioTask(
        f"lst_{task.id}", ws.project, task.campaign, task.id, "lsp", f"key {task.id}", task.items, (),
        {"text": f"the words of {task.id}"}, 1, NOON, 3,
    )  # fmt: skip
    wrote = [
        LabelStudioAnnotation(
            f"lsa_{task.id}_{author}", ws.project, task.id, lies.id, author, 0, "d",
            {"remark": f"remark of account {author} on {task.id}"}, Intake.REFUSED, NOON, author,
        )
        for author in (account, 99)
    ]  # fmt: skip
    fault = TaskFault(
        f"tf_{task.id}", ws.project, task.campaign, task.id, FaultKind.MISSING_AUDIO, task.items[0],
        f"fault of {task.id}", NOON,
    )  # fmt: skip
    return [lies, *wrote, fault]


def test_nothing_of_a_speaker_stays_with_label_studio_or_in_checkpoints(filled: Filled) -> None:
    """Of two tasks one is theirs. Of runs stopped in the middle the round's, one that draws from their set and one
    of which it is not known what it reads go; one that draws from another set, and one of somebody else, stay."""
    ws = filled()
    voice, traces = with_history(ws)
    prompts = {one.id for one in ws.records.find(Prompt) if one.id.encode() in traces}
    tasks = ws.records.find(Task)
    theirs = next(one for one in tasks if one.prompt in prompts)
    other = next(one for one in tasks if one.prompt not in prompts)
    ws.records.add(*pushed(ws, theirs), *pushed(ws, other))
    (set_,) = ws.records.find(PromptSet)
    ws.records.add(a_round(ws, set_.id))
    far = replace(sample(ws.tables.read(Rollout)[0]), id="sa_far", round="po_far", prompt="pr_far")
    ws.tables.write([far], branch=Branch.TTS, round="po_far", part="step-000000")
    Metrics.of(ws).write("po_sft", {0: {"loss": 1.0}})
    names = (adapter_of("made-up"), "po_child", "po_sft", "po_far", "po_foreign")
    for name in names:
        (ws.root / "artefacts" / f"{name}.partial" / "checkpoint-1").mkdir(parents=True)
        (ws.root / "artefacts" / f"{name}.partial" / "checkpoint-1" / "x").write_bytes(b"ahead")
    plan = plan_for(ws, Subject.SPEAKER, SECRET)
    assert set(plan.unfinished) == set(names[:3])
    counts = plan.counts()
    assert [counts[part] for part in ("pushed", "annotations", "faults", "unfinished_runs")] == [
        1, 2, 1, 3,
    ]  # fmt: skip
    forget(ws, plan, THE_SYSTEM, "on request")
    ws.close()
    words = [f"the words of {theirs.id}", f"on {theirs.id}", f"fault of {theirs.id}"]
    assert grep(ws.root, [word.encode() for word in words]) == []
    assert [one.task for one in ws.records.find(LabelStudioTask)] == [other.id]
    assert len(ws.records.find(LabelStudioAnnotation)) == 2 == 2 * len(ws.records.find(TaskFault))
    left = {one.name for one in (ws.root / "artefacts").glob("*.partial")}
    assert left == {"po_far.partial", "po_foreign.partial"}


def a_round(ws: Workspace, prompt_set: str) -> Round:
    return Round(
        "made-up", ws.project, Branch.TTS, "dpo", "po_base", prompt_set, {}, 0, Stage.TRAIN,
        RoundStatus.FAILED, NOON, NOON,
    )  # fmt: skip


def test_nothing_of_an_annotator_stays_of_label_studio(filled: Filled) -> None:
    """Their account's address and what it wrote, also what became no judgement; nobody else's, not even under the
    same number on another server."""
    ws = filled()
    ws.records.add(Person("01PERSON", SECRET, Pool.STAFF, NOON))
    ws.records.add(Person("02OTHER", "Otto", Pool.STAFF, NOON))
    tasks = ws.records.find(Task)[:2]
    servers = ("https://one", "https://two")
    for task, server, project in zip(tasks, servers, ("lsp", "lsp2"), strict=True):
        made = LabelStudioProject(
            project, ws.project, task.campaign, server, project, "t", "q@1", "", 1, NOON
        )
        lies, *rest = pushed(ws, task)
        ws.records.add(made, replace(lies, pushed_to=project), *rest)
    ws.records.add(
        LabelStudioPerson("l1", ws.project, servers[0], 7, "secret@example.org", "01PERSON", "s", NOON),
        LabelStudioPerson("l2", ws.project, servers[1], 7, "else@example.org", "02OTHER", "s", NOON),
    )  # fmt: skip
    plan = plan_for(ws, Subject.ANNOTATOR, SECRET)
    assert plan.ids["annotations"] == (f"lsa_{tasks[0].id}_7",) and plan.ids["accounts"] == ("l1",)
    forget(ws, plan, THE_SYSTEM, "on request")
    ws.close()
    gone = ["secret@example.org", f"remark of account 7 on {tasks[0].id}", SECRET]
    assert grep(ws.root, [word.encode() for word in gone]) == []
    assert len(ws.records.find(LabelStudioAnnotation)) == 3
    assert [one.email for one in ws.records.find(LabelStudioPerson)] == ["else@example.org"]
    assert len(ws.records.find(LabelStudioTask)) == 2 == len(ws.records.find(TaskFault))


class Killed(Exception):
    pass


STEPS = ("plan", "shards", "runs", "rows", "marks", "sounds", "name", "compact", "record")


@pytest.mark.slow
@pytest.mark.parametrize("last", STEPS)
def test_broken_off_anywhere_it_is_gone_on_with(filled: Filled, last: str) -> None:
    ws, whole = filled(), filled("whole")
    _, traces = with_history(ws)
    with_history(whole)

    def stop(step: str) -> None:
        if step == last:
            raise Killed(step)

    plan = plan_for(ws, Subject.SPEAKER, SECRET)
    with pytest.raises(Killed):
        forget(ws, plan, THE_SYSTEM, "on request", clock=lambda: NOON, after=stop)
    (begun,) = unfinished(ws)
    assert begun == plan
    done = forget(ws, begun, THE_SYSTEM, "on request", clock=lambda: NOON)
    forget(whole, plan_for(whole, Subject.SPEAKER, SECRET), THE_SYSTEM, "", clock=lambda: NOON)
    ws.close()
    assert grep(ws.root, traces) == [] and unfinished(ws) == []
    assert done.plan == plan and len(ws.records.find(Decision, kind="forget")) == 1
    assert freeze(ws, "after")[0].hash == freeze(whole, "after")[0].hash


def test_the_command_lists_asks_and_deletes(filled: Filled) -> None:
    from trivox.cli import app

    ws = filled(prompts=3)
    with_history(ws)
    where = ["--workspace", str(ws.root)]

    def run(*words: str, given: str | None = None) -> Any:
        return CliRunner().invoke(app, ["data", "forget", *words, *where], input=given)

    listed = run("--speaker", SECRET)
    assert "trained on it" in listed.stdout and "nothing was deleted" in listed.stdout
    told = json.loads(run("--speaker", SECRET, "--json").stdout)
    plan: dict[str, Any] = told["deletions"][0]
    assert told["done"] == [] and plan["models"] == ["po_child", "po_taught", "rm_1"]
    refused = run("--speaker", SECRET, "--apply", given="yes\n")
    assert isinstance(refused.exception, UsageError) and unfinished(ws) == []
    assert isinstance(run().exception, UsageError)
    done = run("--speaker", SECRET, "--apply", "--confirm", plan["id"], "--json")
    assert json.loads(done.stdout)["done"][0]["record"]
    assert "no deletion was broken off" in run("--resume").stdout


def test_a_plan_holds_no_name(filled: Filled) -> None:
    ws = filled(prompts=3)
    with_history(ws)
    plan: Plan = plan_for(ws, Subject.SPEAKER, SECRET)
    assert SECRET not in plan.model_dump_json()
