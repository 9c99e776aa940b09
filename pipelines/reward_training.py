"""A reward model trained, reported on and registered, from preference sets or from planted preferences."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from trivox.pipelines.reward_data import (
    Material,
    PreferenceData,
    judged_items,
    reward_pairs,
)
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import JudgeKind, PreferenceSet, RewardModelVersion
from trivox.platform.statistics.intervals import mean_interval
from trivox.platform.store import Workspace
from trivox.platform.store.artefacts import send
from trivox.policy.backbone import Backbone
from trivox.policy.rows import Row
from trivox.policy.vocabulary import TokenMap
from trivox.reward_models.bradley_terry.planted import (
    Panel,
    PlantedPair,
    planted_candidates,
    planted_ceiling,
    planted_pairs,
    reward_pair,
)
from trivox.reward_models.bradley_terry.scorer import BradleyTerryScorer
from trivox.reward_models.bradley_terry.training import (
    RewardSettings,
    TrainedReward,
    train_reward,
)
from trivox.reward_models.report.best_of import Candidate, best_of
from trivox.reward_models.report.figures import figures
from trivox.reward_models.report.judged import JudgedPair, sign
from trivox.reward_models.report.report import RewardReport, write_html
from trivox.reward_models.report.scored import preference, score_pairs

REPORT, PAGE = "report.json", "report.html"
PLANTED_FAMILY = "planted"
OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class ReportedReward:
    """A trained model, its report on held-out prompts, and what its command prints."""

    trained: TrainedReward
    report: RewardReport
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        trained = self.trained
        return self.facts | {
            "folder": str(trained.folder),
            "weights_hash": trained.weights_hash,
            "steps": trained.steps,
            "pairs": trained.splits.counts,
            "temperature": trained.calibration.temperature,
            "report": self.report.to_json(),
        }


def train_planted(
    backbone_folder: Path,
    count: int,
    settings: RewardSettings,
    folder: Path,
    seed: int,
    panel: Panel | None = None,
    on_step: OnStep = lambda done, total: None,
) -> ReportedReward:
    """On preferences of a simulated panel about worths that are known. facts: `planted_order`, the share of the
    held-out pairs whose planted better one has more reward, with its interval by prompts, and `planted_ceiling`.
    """
    judges = panel or Panel(seed=seed)
    tokens = TokenMap.load(backbone_folder)
    planted = planted_pairs(tokens, count, seed, judges)
    pairs = [reward_pair(one) for one in planted]
    trained = train_reward(backbone_folder, pairs, settings, folder, seed, on_step)
    scorer = BradleyTerryScorer(folder, backbone_folder)
    by_id = {one.id: one for one in planted}
    held = [by_id[pair.id] for pair in trained.splits.test]
    judged = score_planted(scorer, held)
    families = {"reward": scorer.info.family, "planted worth": PLANTED_FAMILY}
    searched = best_of(_candidates(scorer, tokens, seed), families, seed=seed)
    report = RewardReport(
        scorer.info,
        seed,
        {"raters": judges.label, "held-out pairs": len(held), "prompts": _prompts(held)},
        figures(judged, seed),
        tuple(searched),
        evaluators=families,
    )
    facts = _planted_order(held, judged, seed) | {"planted_ceiling": planted_ceiling(held, judges)}
    return _kept(ReportedReward(trained, report, facts))


def score_planted(scorer: BradleyTerryScorer, planted: Sequence[PlantedPair]) -> list[JudgedPair]:
    """Planted pairs as judged ones, each reply scored by itself."""
    sides = [(pair.first, pair.second) for pair in planted]
    rows = [
        Row(pair.prompt, one, [True] * len(one))
        for pair, both in zip(planted, sides, strict=True)
        for one in both
    ]
    values = scorer.score_rows(rows, [pair.branch for pair in planted for _ in range(2)])
    found = []
    for at, pair in enumerate(planted):
        first, second = values[2 * at].value, values[2 * at + 1].value
        apart = None if first is None or second is None else first - second
        found.append(
            JudgedPair(
                id=pair.id,
                prompt=pair.group,
                branch=pair.branch,
                source="planted",
                judges=JudgeKind.SIMULATED,
                votes=pair.votes,
                difference=apart,
                probability=None if apart is None else preference(apart),
                sizes={"length (tokens)": (float(len(pair.first)), float(len(pair.second)))},
            )
        )
    return found


def _planted_order(
    held: Sequence[PlantedPair], judged: Sequence[JudgedPair], seed: int
) -> dict[str, Any]:
    right = [
        (1 + sign(one.difference or 0.0) * pair.truth) / 2
        for pair, one in zip(held, judged, strict=True)
    ]
    interval = mean_interval(right, [pair.group for pair in held], seed)
    return {
        "planted_order": float(np.mean(right)),
        "planted_order_interval": [interval.low, interval.high],
    }


def _candidates(scorer: BradleyTerryScorer, tokens: TokenMap, seed: int) -> list[Candidate]:
    drawn = planted_candidates(tokens, seed, prompts=4, each=256)
    rows = [Row(one.prompt, one.reply, [True] * len(one.reply)) for one in drawn]
    values = scorer.score_rows(rows, [one.branch for one in drawn])
    return [
        Candidate(one.group, value.value, {"planted worth": one.worth})
        for one, value in zip(drawn, values, strict=True)
    ]


def _prompts(held: Sequence[PlantedPair]) -> int:
    return len({pair.group for pair in held})


def train_from_sets(
    ws: Workspace,
    names: Sequence[str],
    backbone_folder: Path,
    settings: RewardSettings,
    name: str,
    seed: int,
    on_step: OnStep = lambda done, total: None,
) -> ReportedReward:
    """On stored preference sets; registers a `RewardModelVersion` with its report. Raises as `reward_pairs` and
    `train_reward` do, UsageError for a name that is taken by other weights, NotFound for an unknown set."""
    sets = [find_set(ws, one) for one in names]
    data = reward_pairs(ws, Backbone.load(backbone_folder), sets)
    folder = ws.root / "artefacts" / derived_id("reward", name, [one.id for one in sets], seed)
    trained = train_reward(backbone_folder, data.pairs, settings, folder, seed, on_step)
    report = _report_on_sets(ws, trained, data, backbone_folder, seed)
    made = _kept(ReportedReward(trained, report, {"left_out": data.left_out}))
    version = RewardModelVersion(
        id=derived_id("rm", name, trained.weights_hash),
        project=ws.project,
        name=name,
        artefact=str(folder.relative_to(ws.root)),
        artefact_hash=trained.weights_hash,
        preference_sets=tuple(one.id for one in sets),
        report=json.loads(json.dumps(_finite(report.to_json()), default=str)),
        created_at=datetime.now(UTC),
    )
    return ReportedReward(trained, report, made.facts | {"reward_model": register(ws, version).id})


def find_set(ws: Workspace, name: str) -> PreferenceSet:
    """By id, or a beginning of one. Raises NotFound, UsageError for the beginning of several."""
    every = ws.records.find(PreferenceSet, project=ws.project)
    begun = [one for one in every if name and one.id.startswith(name)]
    if len(begun) > 1 and all(one.id != name for one in begun):
        raise UsageError(
            f"{name!r} begins the ids of {len(begun)} preference sets: give more of it"
        )
    if not begun:
        known = ", ".join(one.id for one in every[-5:]) or "none yet"
        raise NotFound(f"no preference set {name!r} in {ws.root}; there are {known}")
    return next((one for one in begun if one.id == name), begun[0])


def register(ws: Workspace, version: RewardModelVersion) -> RewardModelVersion:
    """The first write of an id wins; its weights are sent first to where the workspace keeps artefacts.

    Raises UsageError for a name that another version has, StoreError when the weights could not be sent."""
    send(ws, version.artefact)
    with ws.records.transaction():
        for other in ws.records.find(RewardModelVersion, project=ws.project, name=version.name):
            if other.id != version.id:
                raise UsageError(
                    f"reward model {version.name!r} is {other.id} already: choose another --name"
                )
        ws.records.add(version)
        return ws.records.get(RewardModelVersion, version.id)


def _report_on_sets(
    ws: Workspace, trained: TrainedReward, data: PreferenceData, backbone_folder: Path, seed: int
) -> RewardReport:
    """Of all comparisons of the held-out prompts, with every vote of the judges that the sets were made from."""
    if len(data.judges) != 1:
        raise UsageError(
            f"the sets were judged by {len(data.judges)} kinds of judges: report on one kind"
        )
    scorer = BradleyTerryScorer(trained.folder, backbone_folder)
    held = {pair.group for pair in trained.splits.test}
    judged = [one for one in judged_items(ws, Material(ws), data.judges[0]) if one.prompt in held]
    told = {"judges": data.judges[0].value, "held-out pairs": len(judged), "prompts": len(held)}
    return RewardReport(scorer.info, seed, told, figures(score_pairs(scorer, judged), seed))


def _kept(made: ReportedReward) -> ReportedReward:
    """With its report beside the weights."""
    folder = made.trained.folder
    (folder / REPORT).write_text(json.dumps(_finite(made.to_json()), default=str, indent=2) + "\n")
    write_html(made.report, folder / PAGE)
    return made


def _finite(value: Any) -> Any:
    """JSON has no infinities: an unknown bound is null."""
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
