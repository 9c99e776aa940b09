"""The battery: every probe on every clip, and which of them a scorer or a composition lets through."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trivox.platform.records import Branch, Direction
from trivox.platform.scoring import Item, Scorer, Value
from trivox.reward_models.adversarial.clips import Spoken
from trivox.reward_models.adversarial.probes import Honest, Probe, attack, honest, probes
from trivox.reward_models.cache import ScoreCache
from trivox.reward_models.composition import Composition, default_names, load

MARGINS: Mapping[str, float] = {
    "reward": 0.05,
    "MOS": 0.2,
    "error rate": 0.05,
    "cosine": 0.05,
    "fraction": 0.05,
    "pass": 0.5,
    "logits": 0.2,
    "margin": 0.2,
}
"""By unit: damage must cost more than this, and change that is no damage must not gain more."""
_UNBOUNDED = ("error rate", "cosine", "logits", "margin")
"""Units in which something can always be worse; of the others an honest clip must have more than the margin."""
_AT_ONCE = 16


@dataclass(frozen=True)
class ProbeResult:
    """One probe over all clips. passed: clips on which it got through; refused: clips on which the attack came to
    a typed failure, which is no reward; mean_honest and mean_probe over those with a value. worst: the clip on
    which it came nearest to paying, or paid most."""

    probe: str
    damage: bool
    clips: int
    passed: int
    refused: int
    mean_honest: float | None
    mean_probe: float | None
    worst: str | None


@dataclass(frozen=True)
class BatteryReport:
    """What a scorer or composition did. unscored: honest clips that it failed to score or stopped, on which no
    probe says anything; a battery without scored clips proves nothing."""

    subject: str
    branch: Branch
    seed: int
    kind: str
    margin: float
    clips: int
    unscored: tuple[str, ...]
    probes: tuple[ProbeResult, ...]

    @property
    def fooled_by(self) -> tuple[str, ...]:
        return tuple(one.probe for one in self.probes if one.passed)

    @property
    def failures(self) -> int:
        """Probes that got through on any clip; every probe where no honest clip was scored."""
        if len(self.unscored) == self.clips:
            return len(self.probes)
        return len(self.fooled_by)


Totals = Callable[[Sequence[Item]], list[Value]]


def battery_of_scorer(
    scorer: Scorer, clips: Sequence[Spoken], seed: int, branch: Branch
) -> BatteryReport:
    """A single scorer against the battery of a branch: none withstands all, which is why they are composed."""
    info = scorer.info
    sign, margin = -1 if info.direction is Direction.LOWER else 1, MARGINS[info.unit]
    floor = float("-inf") if info.unit in _UNBOUNDED else margin
    return run_battery(info.name, scorer.score, clips, seed, branch, margin, sign, floor)


def battery_of_composition(
    composition: Composition, clips: Sequence[Spoken], seed: int
) -> BatteryReport:
    """The totals of a steady composition. Raises UsageError for one that normalises over a batch."""
    totals = composition.scorer()
    branch, margin = composition.config.branch, MARGINS["reward"] * composition.config.scale
    return run_battery(totals.info.name, totals.score, clips, seed, branch, margin)


def default_batteries(
    clips: Sequence[Spoken], seed: int, cache: ScoreCache | None = None
) -> list[BatteryReport]:
    """The packaged compositions of all branches."""
    made = [Composition.of(load(name), cache) for name in default_names()]
    return [battery_of_composition(one, clips, seed) for one in made]


def adversarial_failures(reports: Sequence[BatteryReport]) -> int:
    """Probes that got through, over all subjects."""
    return sum(one.failures for one in reports)


def run_battery(
    subject: str,
    score: Totals,
    clips: Sequence[Spoken],
    seed: int,
    branch: Branch,
    margin: float,
    sign: int = 1,
    floor: float | None = None,
) -> BatteryReport:
    """Every probe of the branch on every clip. sign: -1 where lower is better. At least two clips of other words.

    An honest clip that has no value, or no more than the floor (the margin, if none is given), so that damage
    cannot cost it the margin, is listed and not attacked.
    """
    least = margin if floor is None else floor
    targets = [honest(clip, _other(clips, index), branch) for index, clip in enumerate(clips)]
    values = _scored(score, [target.item for target in targets])
    known = [
        (target, sign * value.value)
        for target, value in zip(targets, values, strict=True)
        if value.value is not None and sign * value.value > least
    ]
    scored = {target.clip.name for target, _ in known}
    return BatteryReport(
        subject,
        branch,
        seed,
        "+".join(sorted({clip.kind for clip in clips})),
        margin,
        len(clips),
        tuple(clip.name for clip in clips if clip.name not in scored),
        tuple(_probed(probe, score, known, seed, margin, sign) for probe in probes(branch)),
    )


def _other(clips: Sequence[Spoken], index: int) -> Spoken:
    """The next clip that says something else."""
    for step in range(1, len(clips)):
        if clips[(index + step) % len(clips)].text != clips[index].text:
            return clips[(index + step) % len(clips)]
    return clips[(index + 1) % len(clips)]


def _probed(
    probe: Probe,
    score: Totals,
    known: Sequence[tuple[Honest, float]],
    seed: int,
    margin: float,
    sign: int,
) -> ProbeResult:
    values = _scored(score, [attack(probe, target, seed) for target, _ in known])
    gains = {
        target.clip.name: sign * value.value - fair
        for (target, fair), value in zip(known, values, strict=True)
        if value.value is not None
    }
    limit = -margin if probe.damage else margin
    fair = [value for (target, value) in known if target.clip.name in gains]
    mean = sum(fair) / len(fair) if fair else None
    return ProbeResult(
        probe.name,
        probe.damage,
        len(known),
        sum(gain > limit for gain in gains.values()),
        len(known) - len(gains),
        sign * mean if mean is not None else None,
        sign * (mean + sum(gains.values()) / len(gains)) if mean is not None else None,
        max(gains, key=lambda name: gains[name], default=None),
    )


def _scored(score: Totals, items: Sequence[Item]) -> list[Value]:
    """In small batches, so that no more than a few clips are in the making at once."""
    return [
        value
        for begin in range(0, len(items), _AT_ONCE)
        for value in score(items[begin : begin + _AT_ONCE])
    ]
