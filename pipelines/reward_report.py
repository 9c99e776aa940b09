"""The report on any reward against what a workspace's judges said, and on attacks that are made here."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from trivox.pipelines.reward_data import Material, judged_items
from trivox.pipelines.reward_judges import is_judge, load_judge
from trivox.platform.records import Branch, JudgeKind, RewardModelVersion
from trivox.platform.scoring import Item, Scorer
from trivox.platform.store import Workspace
from trivox.platform.store.artefacts import bring
from trivox.reward_models import registry
from trivox.reward_models.adversarial.battery import (
    BatteryReport,
    battery_of_composition,
    battery_of_scorer,
)
from trivox.reward_models.adversarial.clips import Spoken
from trivox.reward_models.bradley_terry.learned import SETTINGS_FILE
from trivox.reward_models.bradley_terry.scorer import BradleyTerryScorer
from trivox.reward_models.cache import CachedScorer, ScoreFile
from trivox.reward_models.composition import Composition
from trivox.reward_models.generative.config import opened
from trivox.reward_models.generative.scorer import ReferenceScorer
from trivox.reward_models.report.best_of import BestOf, Candidate, best_of
from trivox.reward_models.report.figures import figures
from trivox.reward_models.report.opinions import judge_pairs
from trivox.reward_models.report.report import RewardReport
from trivox.reward_models.report.scored import direction_of, score_pairs


def open_reward(name: str, ws: Workspace | None, backbone_folder: Path) -> Scorer:
    """A scorer of the registry, a reward model by folder or, in a workspace, by name or id, else a composition.

    Raises NotFound and ConfigError as these do.
    """
    if name in registry.names():
        return registry.build(name)
    if (folder := _model_folder(name, ws)) is not None:
        return BradleyTerryScorer(folder, backbone_folder)
    return Composition.of(name).scorer()


@contextmanager
def opened_reward(name: str, ws: Workspace | None, backbone: Path) -> Iterator[Scorer]:
    """As `open_reward`, or a generative judge by its TOML file, which prefers a reply to the reference y*; its
    connections are open within. Raises as `opened` does for a judge."""
    if not is_judge(name):
        yield open_reward(name, ws, backbone)
        return
    with opened(load_judge(Path(name))) as judge:
        yield ReferenceScorer(judge)


def _model_folder(name: str, ws: Workspace | None) -> Path | None:
    if (Path(name) / SETTINGS_FILE).is_file():
        return Path(name)
    if ws is None:
        return None
    every = ws.records.find(RewardModelVersion, project=ws.project)
    found = [one for one in every if name in (one.name, one.id)]
    return bring(ws.root, found[-1].artefact) if found else None


def report_on_workspace(
    ws: Workspace,
    scorer: Scorer,
    kind: JudgeKind,
    *,
    round: str | None = None,
    evaluators: Sequence[str] = (),
    battery: BatteryReport | None = None,
    seed: int = 0,
) -> RewardReport:
    """Against every comparison that judges of a kind answered; best of n over stored candidates, by evaluators.

    A generative judge sees both replies of a comparison at once, in both orders. Raises NotFound where nothing was
    judged, ConfigError for an evaluator of the reward's family.
    """
    material = Material(ws, round)
    judged = judged_items(ws, material, kind, round)
    kept = CachedScorer(scorer, ScoreFile.of(ws.root))
    families = {"reward": scorer.info.family, **registry.families(evaluators)}
    searched: list[BestOf] = []
    if evaluators:
        searched = best_of(_candidates(material, kept, evaluators), families, seed=seed)
    told = {
        "judges": kind.value,
        "comparisons": len(judged),
        "votes": sum(len(one.votes) for one in judged),
        "round": round or "all",
    }
    if isinstance(scorer, ReferenceScorer):
        found = figures(judge_pairs(scorer.judge, judged), seed)
    else:
        found = figures(score_pairs(kept, judged), seed)
    return RewardReport(scorer.info, seed, told, found, tuple(searched), battery, families)


def _candidates(material: Material, reward: Scorer, evaluators: Sequence[str]) -> list[Candidate]:
    """All stored rollouts, scored by the reward and by every evaluator, more being better."""
    items = [material.item(one) for one in material.candidates()]
    rewards = _values(reward, items)
    others = {name: _values(_evaluator(material.ws, name), items) for name in evaluators}
    return [
        Candidate(
            item.prompt or item.rollout, rewards[at], {name: by[at] for name, by in others.items()}
        )
        for at, item in enumerate(items)
    ]


def _evaluator(ws: Workspace, name: str) -> Scorer:
    return CachedScorer(registry.build(name), ScoreFile.of(ws.root))


def _values(scorer: Scorer, items: Sequence[Item]) -> list[float | None]:
    way = direction_of(scorer.info)
    return [None if one.value is None else way * one.value for one in scorer.score(items)]


def attack(
    name: str, scorer: Scorer, clips: Sequence[Spoken], seed: int, branch: Branch
) -> BatteryReport:
    """The battery on what `open_reward` gave."""
    if name in registry.names() or isinstance(scorer, BradleyTerryScorer | ReferenceScorer):
        return battery_of_scorer(scorer, clips, seed, branch)
    return battery_of_composition(Composition.of(name), clips, seed)


def report_on_attacks(
    scorer: Scorer, battery: BatteryReport, seed: int, data: Mapping[str, object] | None = None
) -> RewardReport:
    """Where nobody judged anything: attacks alone."""
    return RewardReport(scorer.info, seed, data or {}, None, (), battery)
