"""A small workspace with one of everything that a page shows: four rounds of tts, three versions, people, a
generative judge and simulated ones, a reward model with its report, a failed score, a stopped rollout."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from trivox.pipelines.evaluation import COLUMNS, summarise
from trivox.pipelines.rounds.config import RoundConfig
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Branch,
    Campaign,
    CostEntry,
    Decision,
    Direction,
    Evaluation,
    Failure,
    FinishReason,
    JudgeKind,
    Judgement,
    LeaseStatus,
    Person,
    PolicyStatus,
    PolicyVersion,
    Pool,
    Preference,
    PreferenceSet,
    Prompt,
    PromptItem,
    PromptSet,
    Purpose,
    RewardModelVersion,
    Role,
    RoleGrant,
    Rollout,
    Round,
    RoundStatus,
    Sampling,
    Score,
    ScorerRole,
    Split,
    Stage,
    StageRun,
    Task,
    TaskKind,
    TaskLease,
    TaskState,
    Tie,
)
from trivox.platform.store import Workspace

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
ROUNDS = ("round_1", "round_2", "round_3", "round_4")
JUDGES = {"round_1": JudgeKind.HUMAN, "round_2": JudgeKind.GRM, "round_3": JudgeKind.SIMULATED}
PEOPLE = {"researcher": Role.RESEARCHER, "viewer": Role.VIEWER, "lead": Role.LEAD}
PROMPTS, CANDIDATES = 6, 4


def build(root: Path) -> Path:
    """The workspace at root."""
    with Workspace.create(root) as ws:
        prompts = [Prompt.of(Branch.TTS, ("en",), text=f"say number {n}") for n in range(PROMPTS)]
        ws.records.add(*prompts, _set(prompts))
        ws.records.add(*_people())
        ws.records.add(*_policies(), *map(_round, ROUNDS), *_campaigns())
        voices = [_voice(ws, number) for number in range(4)]
        for round_ in ROUNDS[:3]:
            _fill(ws, round_, prompts, voices)
        ws.records.add(*_outcomes(prompts), _reward_model())
    return root


def policy(
    id: str, parents: dict[str, float], status: PolicyStatus, round: str | None
) -> PolicyVersion:
    branch, backbone = (Branch.TTS, "base") if parents else (None, None)
    return PolicyVersion(
        id,
        "default",
        f"name-{id}",
        branch,
        parents,
        backbone,
        f"artefacts/{id}",
        "0",
        round,
        status,
        NOW,
    )


def _policies() -> list[PolicyVersion]:
    return [
        policy("base", {}, PolicyStatus.PROMOTED, None),
        policy("one", {"base": 1.0}, PolicyStatus.RETIRED, "round_1"),
        policy("two", {"one": 1.0}, PolicyStatus.PROMOTED, "round_2"),
        policy("three", {"two": 1.0}, PolicyStatus.CANDIDATE, "round_3"),
    ]


def _round(id: str) -> Round:
    number = ROUNDS.index(id)
    status = (RoundStatus.DONE, RoundStatus.DONE, RoundStatus.WAITING, RoundStatus.FAILED)[number]
    stage = (Stage.PUBLISH, Stage.PUBLISH, Stage.LABEL, Stage.SCORE)[number]
    start = ("base", "one", "two", "two")[number]
    config = RoundConfig(policy=start, prompts="ps", seed=number).model_dump(mode="json")
    error = "round round_4, stage score: a worker died" if status is RoundStatus.FAILED else None
    return Round(
        id, "default", Branch.TTS, "dpo", start, "ps", config, number, stage, status,
        NOW + timedelta(hours=number), NOW + timedelta(hours=number), error=error,
    )  # fmt: skip


def _set(prompts: list[Prompt]) -> PromptSet:
    items = [
        PromptItem(one.id, Split.TRAIN if n % 3 else Split.TEST, f"g{n}", "CC-BY-4.0", "made here")
        for n, one in enumerate(prompts)
    ]
    return PromptSet("ps", "default", "numbers", 1, tuple(items))


def _people() -> list[Any]:
    made: list[Any] = []
    for name, role in PEOPLE.items():
        made += [
            Person(name, name.title(), Pool.STAFF, NOW),
            RoleGrant(f"g-{name}", "default", name, role, NOW),
        ]
    for number in range(3):
        name = f"ann{number}"
        made.append(
            Person(name, f"Annotator {number}", Pool.STAFF, NOW, pay_rate=12.0, pay_currency="EUR")
        )
        made.append(RoleGrant(f"g-{name}", "default", name, Role.ANNOTATOR, NOW))
    return made


def _campaigns() -> list[Campaign]:
    return [
        Campaign(
            f"c-{one}", "default", f"of {one}", Branch.TTS, "Which?", 1, ("en",), 3, NOW, round=one
        )
        for one in ROUNDS[:3]
    ]


def _voice(ws: Workspace, number: int) -> str:
    times = np.arange(8000 + 800 * number) / 16000
    wave = 0.1 * (1 + number) * np.sin(2 * np.pi * (200 + 60 * number) * times)
    kept = ws.audio.put(wave.astype(np.float32), 16000, project="default", source="test")
    ws.records.add(kept)
    return kept.id


def _fill(ws: Workspace, round_: str, prompts: list[Prompt], voices: list[str]) -> None:
    producer = ("base", "one", "two")[ROUNDS.index(round_)]
    said = [
        Rollout(
            f"{round_}-{n}-{k}", "default", round_, Branch.TTS, one.id, producer, 0, k, Sampling(), "in-process",
            "float32", tuple(range(10 + 2 * k)), (), (), FinishReason.LENGTH if n == k == 0 else FinishReason.END,
            text=one.text, audio=voices[k], timings={"total": 0.5},
        )
        for n, one in enumerate(prompts)
        for k in range(CANDIDATES)
    ]  # fmt: skip
    ws.tables.write(said, branch=Branch.TTS, round=round_, part="a")
    scores = [score for one in said for score in _scores(one)]
    ws.tables.write(scores, branch=Branch.TTS, round=round_, part="a")
    tasks = [
        Task(
            f"t-{round_}-{n}-{pair}", "default", f"c-{round_}", TaskKind.COMPARE, one.id,
            (f"{round_}-{n}-{pair}", f"{round_}-{n}-{pair + 2}"), "overall@1", "en", 3, round=round_,
        )
        for n, one in enumerate(prompts)
        for pair in range(2)
    ]  # fmt: skip
    ws.records.add(*tasks)
    judged = [one for number, task in enumerate(tasks) for one in _judgements(round_, number, task)]
    ws.records.add(*judged)
    ws.records.add(*_work(round_, tasks, judged))


def _scores(rollout: Rollout) -> list[Score]:
    n, k = map(int, rollout.id.split("-")[1:])

    def one(scorer: str, role: ScorerRole, way: Direction, unit: str, value: float | None) -> Score:
        failure = None if value is not None else Failure("timeout", "took too long")
        return Score(
            f"{rollout.id}-{scorer}-{role.value}", "default", rollout.round, rollout.id, "episode",
            scorer, scorer, "1", "0",
            scorer, role, unit, way, value, failure=failure,
        )  # fmt: skip

    broken = n == 5 and k == 3
    return [
        one("mos", ScorerRole.REWARD, Direction.HIGHER, "MOS", 3.0 + 0.2 * k - 0.1 * (n % 3)),
        one(
            "wer",
            ScorerRole.REWARD,
            Direction.LOWER,
            "share",
            None if broken else 0.1 * ((n + k) % 4),
        ),
        one("silence", ScorerRole.GATE, Direction.HIGHER, "passed", 0.0 if n == k == 1 else 1.0),
        one("pitch", ScorerRole.WATCHER, Direction.HIGHER, "semitones", 2.0 + k),
        one("other-mos", ScorerRole.EVALUATOR, Direction.HIGHER, "MOS", 3.0 + 0.1 * k),
    ]


def _judgements(round_: str, number: int, task: Task) -> list[Judgement]:
    """Votes of three people, or one of another judge; the second person likes what the others do not."""
    kind = JUDGES[round_]
    if round_ == "round_3" and number % 2:
        return []
    votes = (
        {"ann0": -2, "ann1": 1 if number % 4 == 0 else -1, "ann2": -3}
        if kind is JudgeKind.HUMAN
        else {"judge": -1}
    )
    made = []
    for place, (judge, vote) in enumerate(votes.items()):
        tied = number == 7 and place == 1
        answer = (
            Answer(AnswerKind.TIE, tie=Tie.BOTH_GOOD)
            if tied
            else Answer(AnswerKind.COMPARISON, comparison=vote)
        )
        shown = task.items if (number + place) % 2 else task.items[::-1]
        made.append(
            Judgement(
                f"j-{task.id}-{judge}", "default", task.id, kind, f"{kind.value}:{judge}", answer, shown,
                f"key-{task.id}-{judge}", NOW + timedelta(minutes=number), reasons=("clearer",),
                taken_s=12.0 + number,
            )
        )  # fmt: skip
    return made


def _work(round_: str, tasks: list[Task], judged: list[Judgement]) -> list[Any]:
    states = [
        TaskState(task.id, "default", f"c-{round_}", task.id, "en", 3, sum(one.task == task.id for one in judged),
                  sum(one.task == task.id for one in judged), 0, 0.5, 0.1)
        for task in tasks
    ]  # fmt: skip
    leases = []
    for place, one in enumerate(judged):
        if one.judge_kind is not JudgeKind.HUMAN:
            continue
        gold = place % 9 == 0
        leases.append(
            TaskLease(
                f"l-{one.id}", "default", f"c-{round_}", one.task, one.judge.partition(":")[2],
                Purpose.GOLD if gold else Purpose.JUDGE, LeaseStatus.ANSWERED, one.task, place % 3,
                one.presentation, (),
                1, NOW - timedelta(seconds=30), NOW + timedelta(hours=1), closed_at=NOW, judgement=one.id,
                right=True if gold else None,
            )
        )  # fmt: skip
    return [*states, *leases]


def verdicts(
    wins: int, losses: int, ties: int
) -> tuple[dict[str, Any], tuple[dict[str, Any], ...]]:
    """Results and items of an evaluation with so many verdicts, each of another prompt."""
    told = ["win"] * wins + ["loss"] * losses + ["tie"] * ties
    rows = tuple(
        {
            "prompt": f"p{n}", "verdict": one, "parent_rollout": "", "candidate_rollout": "",
            **{f"{name}_{when}": 0.1 * (n % 4) for name in COLUMNS for when in ("before", "after")},
        }
        for n, one in enumerate(told)
    )  # fmt: skip
    return summarise(rows, seed=0), rows


def _evaluation(
    id: str, version: str, parent: str, round_: str, wins: int, losses: int
) -> Evaluation:
    results, rows = verdicts(wins, losses, 8)
    families = {"pocketsphinx-wer": "pocketsphinx", "dnsmos": "dnsmos"}
    return Evaluation(
        id, "default", version, parent, "held-out@1", families, False, results, rows, round_, NOW
    )


def _outcomes(prompts: list[Prompt]) -> list[Any]:
    made: list[Any] = [
        _evaluation("e1", "one", "base", "round_1", 20, 12),
        _evaluation("e2", "two", "one", "round_2", 24, 8),
        _evaluation("e3", "three", "two", "round_3", 15, 15),
        Decision(
            "d1", "default", "promotion", "one", "gate:publish@1", "won on held-out prompts", NOW
        ),
        Decision("d2", "default", "promotion", "two", "researcher", "won on held-out prompts", NOW),
        Decision(
            "d3",
            "default",
            "stopped",
            "one",
            "watcher",
            "watcher kl: 1.2 at step 3",
            NOW,
            {"figure": "kl"},
        ),
    ]
    for number, round_ in enumerate(ROUNDS[:2]):
        made.append(_preferences(round_))
        for place, stage in enumerate(Stage):
            if stage is Stage.TRAIN_REWARD:
                continue
            begin = NOW + timedelta(hours=number, minutes=place)
            made.append(
                StageRun(
                    f"{round_}:{stage.value}", "default", round_, stage, {}, _made(round_, stage), "0.1.0", number,
                    begin, begin + timedelta(seconds=20 + place), 512.0,
                )
            )  # fmt: skip
            made.append(CostEntry(
                f"{round_}:{stage.value}:cpu", "default", round_, None, "cpu", 20.0 + place, "s", None, None, NOW,
                {"stage": stage.value},
            ))  # fmt: skip
    return made


def _made(round_: str, stage: Stage) -> dict[str, Any]:
    if stage is Stage.ROLLOUT:
        ids = [f"{round_}-{n}-{k}" for n in range(PROMPTS) for k in range(CANDIDATES)]
        return {"rollouts": ids, "tokens": 312, "prompts": PROMPTS}
    if stage is Stage.AGGREGATE:
        return {"preference_set": f"ps-{round_}", "preferences": 3, "dropped": {"tie": 1}}
    if stage is Stage.TRAIN:
        version = {"round_1": "one", "round_2": "two"}[round_]
        steps = [
            {"step": float(step), "loss": 0.7 - 0.1 * step, "learning_rate": 1e-4, "entropy": 1.2,
             "kl": 0.02 * step * (1 + ROUNDS.index(round_)),
             "rewards/margins": 0.1 * step, "length": 40.0 + step}
            for step in range(4)
        ]  # fmt: skip
        return {"policy": version, "pairs": 3, "steps": 4, "metrics": steps}
    return {}


def _voters(round_: str) -> list[str]:
    return ["ann0", "ann1", "ann2"] if JUDGES[round_] is JudgeKind.HUMAN else ["judge"]


def _preferences(round_: str) -> PreferenceSet:
    made = [
        Preference(
            f"pref-{round_}-{n}", "pr", f"{round_}-{n}-2", f"{round_}-{n}-0", 2.0, 1.0,
            tuple(f"j-t-{round_}-{n}-0-{judge}" for judge in _voters(round_)), (JUDGES[round_],),
        )
        for n in range(3)
    ]  # fmt: skip
    return PreferenceSet(f"ps-{round_}", "default", round_, "majority@1", tuple(made), {"tie": 1})


def _reward_model() -> RewardModelVersion:
    def ceiling(value: float) -> dict[str, Any]:
        return {"accuracy": value, "interval": [value - 0.05, value + 0.05], "votes": 30, "reliability": 0.6,
                "reliability_interval": [0.4, 0.7], "reason": None}  # fmt: skip

    def agreed(name: str, value: float) -> dict[str, Any]:
        return {"subset": name, "accuracy": value, "interval": [value - 0.1, value + 0.1], "pairs": 40,
                "failed": 1, "ceiling": ceiling(0.85)}  # fmt: skip

    figures = {
        "judges": "human", "judged_by_people": True, "overall": agreed("all", 0.7),
        "subsets": [agreed("branch: tts", 0.72), agreed("margin: clear", 0.8)],
        "order_flips": {"rate": 0.1, "interval": {"low": 0.02, "high": 0.3}, "judged": 20, "unjudged": 0},
        "calibration_error": 0.06,
        "reliability": [{"confidence": 0.55, "accuracy": 0.5, "count": 10},
                        {"confidence": 0.8, "accuracy": 0.85, "count": 20}],
        "abstention": [],
        "biases": [{"size": "length (seconds)", "by_reward": 0.7, "by_raters": 0.55, "difference": 0.15,
                    "interval": [0.05, 0.25], "pairs": 40},
                   {"size": "loudness (LUFS)", "by_reward": 0.5, "by_raters": 0.5, "difference": 0.0,
                    "interval": [-0.1, 0.1], "pairs": 40}],
        "failures": {},
    }  # fmt: skip
    best = [
        {"judge": judge, "n": n, "divergence": float(np.log(n) - (n - 1) / n), "mean": value,
         "interval": [value - 0.1, value + 0.1], "prompts": 6}
        for judge, values in {"reward": (0.0, 1.0, 1.5), "other-mos": (3.0, 3.2, 3.1)}.items()
        for n, value in zip((1, 4, 16), values, strict=True)
    ]  # fmt: skip
    report = {
        "figures": figures,
        "best_of": best,
        "notes": [],
        "adversarial_failures": 0.0,
        "data": {"judges": "human"},
    }
    return RewardModelVersion(
        "rm1", "default", "bt-1", "artefacts/rm1", "0", ("ps-round_1",), report, NOW
    )


def damage(root: Path) -> Path:
    """Spoil the workspace: a score file cut short, a rollout file of garbage, a sound that is not what it says."""
    first, *_ = sorted((root / "tables" / "score").rglob("*.parquet"))
    first.write_bytes(first.read_bytes()[:200])
    *_, last = sorted((root / "tables" / "rollout").rglob("*.parquet"))
    last.write_bytes(b"PAR1 garbage PAR1")
    for sound in (root / "audio").rglob("*.flac"):
        sound.write_bytes(b"fLaC but no more")
    return root


def renamed(one: Round, **changes: Any) -> Round:
    return replace(one, **changes)
