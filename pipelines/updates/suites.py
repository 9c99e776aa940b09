"""What a version is measured by on a branch: held-out prompts or simulated users, scorers, margins."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from trivox.pipelines.realtime.personas import packaged_rubric
from trivox.pipelines.rounds.finding import find_prompt_set
from trivox.pipelines.updates.asking import IN_USE, Asker
from trivox.pipelines.updates.building import personas_of, teacher_voice
from trivox.pipelines.updates.dialogues import DialogueEpisodes, Dialogues, Talk
from trivox.pipelines.updates.recipe import DialogueSection, Section
from trivox.pipelines.updates.rubric import rubric_points
from trivox.platform.audio.io import resample
from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_seed
from trivox.platform.records import Branch, Direction, Prompt, Sampling, Split
from trivox.platform.scoring import Item
from trivox.platform.statistics.acceptance import acceptance
from trivox.platform.store import Workspace
from trivox.policy.engine import Generation
from trivox.policy.speaker import Speaker
from trivox.reward_models.audio_checks import RATE
from trivox.reward_models.registry import build, entry
from trivox.reward_models.verifiable.recognisers import whisper_base

RUBRIC, HEARD, ACCEPTED = "rubric", "rubric-heard", "tokens-per-pass"
"""Figures that no scorer gives: the share of the rubric's rules that the words of a reply keep, and that the words
keep which Whisper hears in its speech; and asr tokens drafted and kept in a pass."""
MAIN = {Branch.ASR: "transcript-errors", Branch.TTS: "pocketsphinx-wer", Branch.REALTIME: RUBRIC}
"""The figure by which prompts are won where a suite names no other."""
MARGINS = {
    "transcript-errors": 0.01,
    "pocketsphinx-wer": 0.02,
    "dnsmos": 0.1,
    RUBRIC: 0.03,
    HEARD: 0.03,
    ACCEPTED: 0.2,
}
SCORERS = {
    Branch.ASR: ("transcript-errors",),
    Branch.TTS: ("pocketsphinx-wer", "dnsmos"),
    Branch.REALTIME: ("pocketsphinx-wer", "dnsmos"),
}


class BranchSuite(Section):
    """How one branch is measured."""

    prompts: str | None = None
    """Prompt set whose test split is answered; realtime needs none: a simulated user asks what no training has."""
    count: int = Field(48, ge=2)
    """Prompts at most, or users."""
    scorers: tuple[str, ...] | None = None
    """Scorers of the answers; none: transcript-errors for asr, pocketsphinx-wer and dnsmos for the others."""
    main: str | None = None
    """The figure by which prompts are won, the others break its ties; none: that of the branch."""
    dialogue: DialogueSection = DialogueSection()
    """realtime: the simulated user."""
    heard: bool = False
    """realtime: whether the rubric is also applied to the words that Whisper base hears in the reply."""
    max_tokens: int | None = Field(None, ge=8)
    """The longest answer; none: as in use."""
    temperature: float | None = Field(None, ge=0)
    """Of the answers of both versions; none: as in use."""


class Suites(Section):
    """What versions are measured by, and by how much they may be worse: `[suites]` of a file, or the defaults."""

    asr: BranchSuite = BranchSuite()
    tts: BranchSuite = BranchSuite()
    realtime: BranchSuite = BranchSuite()
    seed: int = Field(0, ge=0)
    """Of what is drawn; versions are compared on the same draws."""
    margins: dict[str, float] = Field(default_factory=lambda: dict(MARGINS))
    """Figure -> by how much the bound of its interval may be worse before a version counts as inferior; 0 for a
    figure that is not named."""
    tie: dict[str, float] = Field(default_factory=dict)
    """Figure -> differences up to this are a tie between two answers; 0 for a figure that is not named."""
    wanted: dict[str, Literal[-1, 1]] = Field(default_factory=dict)
    """Figure -> whether more (1) or less (-1) of it is wanted on these prompts, of figures that are better neither
    way by themselves: a lower pace where all prompts ask for slow speech."""

    def better(self, figure: str) -> float:
        """1 for a figure of which more is better, -1 where less is; 0 for one that is only watched."""
        if figure in self.wanted:
            return float(self.wanted[figure])
        if figure in (RUBRIC, HEARD, ACCEPTED):
            return 1.0
        direction = entry(figure).direction
        return {Direction.HIGHER: 1.0, Direction.LOWER: -1.0}.get(direction, 0.0)

    def of(self, branch: Branch) -> BranchSuite:
        found: BranchSuite = getattr(self, branch.value)
        return found

    def main(self, branch: Branch) -> str:
        return self.of(branch).main or MAIN[branch]

    def scorers(self, branch: Branch) -> tuple[str, ...]:
        named = self.of(branch).scorers
        return SCORERS[branch] if named is None else named


@dataclass(frozen=True)
class Measured:
    """One row for each answer: `prompt` and its figures, None where a scorer failed."""

    rows: tuple[dict[str, Any], ...]


def measure(ws: Workspace, speaker: Speaker, branch: Branch, suites: Suites) -> Measured:
    """Answers of a version, scored. Raises NotFound and ConfigError for prompts that are not there."""
    asker, suite = Asker(ws, speaker), suites.of(branch)
    sampling = IN_USE[branch]
    if suite.max_tokens is not None:
        sampling = replace(sampling, max_tokens=suite.max_tokens)
    if suite.temperature is not None:
        sampling = replace(sampling, temperature=suite.temperature)
    if branch is Branch.REALTIME:
        items, own = _talked(ws, asker, suite, sampling, suites.seed)
    else:
        items, own = _answered(ws, asker, branch, suite, sampling, suites.seed)
    found: list[dict[str, float | None]] = [dict(one) for one in own]
    for name in suites.scorers(branch):
        for row, value in zip(found, build(name).score(items), strict=True):
            row[name] = value.value
    rows: Iterator[dict[str, Any]] = (
        {"prompt": item.prompt, **row} for item, row in zip(items, found, strict=True)
    )
    return Measured(tuple(rows))


def held_out(ws: Workspace, branch: Branch, suite: BranchSuite) -> list[Prompt]:
    """Prompts of the test split. Raises ConfigError for no set, a set of another branch, or fewer than two."""
    if suite.prompts is None:
        raise ConfigError(
            f"{branch.value} is measured on held-out prompts: name a prompt set with a test split (--prompts "
            f"{branch.value}=SET, or suites.{branch.value}.prompts)"
        )
    found = find_prompt_set(ws, suite.prompts)
    prompts = [ws.records.get(Prompt, id_) for id_ in found.prompts(Split.TEST)[: suite.count]]
    if len(prompts) < 2:
        raise ConfigError(
            f"prompt set {found.reference} has {len(prompts)} prompts in split 'test' and a measurement needs 2: "
            "import it again with a larger test share"
        )
    if prompts[0].branch is not branch:
        raise ConfigError(
            f"prompt set {found.reference} is of branch {prompts[0].branch.value}, not {branch.value}: name "
            "another"
        )
    return prompts


def _answered(
    ws: Workspace,
    asker: Asker,
    branch: Branch,
    suite: BranchSuite,
    sampling: Sampling,
    seed: int,
) -> tuple[list[Item], list[dict[str, float]]]:
    prompts = held_out(ws, branch, suite)
    requests = [asker.request(one, sampling, derived_seed(seed, one.id)) for one in prompts]
    hears = branch is Branch.ASR
    engine = asker.speaker.hearing if hears else asker.speaker.engine
    said = engine.generate(requests)
    items = [
        asker.answered(asker.item(prompt), branch, one.tokens, one.finish_reason, prompt.id)
        for prompt, one in zip(prompts, said, strict=True)
    ]
    return items, [_accepted(one) if hears else {} for one in said]


def _accepted(said: Generation) -> dict[str, float]:
    """Tokens a pass of multi-token decoding, where the version drafts."""
    found = acceptance([said.decoding])
    if found is None or not math.isfinite(found.mean_length):
        return {}
    return {ACCEPTED: found.mean_length}


def _talked(
    ws: Workspace, asker: Asker, suite: BranchSuite, sampling: Sampling, seed: int
) -> tuple[list[Item], list[dict[str, float]]]:
    """One row for each reply; replies of one dialogue are one cluster."""
    voice = teacher_voice(asker) if suite.dialogue.user == "teacher" else None
    rubric = packaged_rubric(ws.project)
    dialogues = Dialogues(asker, rubric, sampling, suite.dialogue.turns, voice)
    source = DialogueEpisodes(
        dialogues, personas_of(ws), None, (0.0, 1.0), suite.count, 1, seed, Split.TEST
    )
    talks = source.begun(0)
    dialogues.run(asker.speaker.engine, talks, seed)
    items = [replace(item, prompt=talk.group) for talk in talks for item in talk.items]
    points = [{RUBRIC: share} for talk in talks for share, _ in dialogues.points(talk)]
    if suite.heard:
        points = [one | two for one, two in zip(points, _heard(dialogues, talks), strict=True)]
    return items, points


def _heard(dialogues: Dialogues, talks: Sequence[Talk]) -> list[dict[str, float]]:
    """The rubric on what Whisper base hears; a reply without a sound says nothing."""
    judge, found = whisper_base(), []
    for talk in talks:
        for asked, item in zip(talk.asked, talk.items, strict=False):
            silent = item.samples is None or item.rate is None
            words = "" if silent else judge.transcribe(_at_rate(item), "en-US")
            share, _ = rubric_points(dialogues.rubric, talk.user.persona, asked, words)
            found.append({HEARD: share})
    return found


def _at_rate(item: Item) -> npt.NDArray[np.float32]:
    assert item.samples is not None and item.rate is not None
    return resample(item.samples, item.rate, RATE)


def names_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The figures of rows, in the order in which they are met."""
    return list(dict.fromkeys(name for row in rows for name in row if name != "prompt"))
