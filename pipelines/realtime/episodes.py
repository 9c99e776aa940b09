"""Multi-turn episodes with a simulated user: run, checked turn by turn, and turned into prompts."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trivox.pipelines.nano.domain import persona_reply
from trivox.pipelines.realtime.personas import pair
from trivox.pipelines.realtime.simulator import Reply, Speak, User, UserTurn
from trivox.pipelines.realtime.tasks import Checked, check
from trivox.platform.errors import UsageError
from trivox.platform.hashing import derived_seed
from trivox.platform.personas.registry import reference
from trivox.platform.records import Branch, Persona, Prompt, Split, Turn
from trivox.platform.statistics.intervals import Interval, wilson

Replier = Callable[[Persona, Sequence[Turn]], Reply]
"""The reply to the last of the turns. A turn with audio has its words beside it: they are not for models."""


@dataclass(frozen=True)
class Exchange:
    """One turn of the user and the reply to it; checked is None when there was none."""

    user: UserTurn
    reply: Reply
    checked: Checked | None


@dataclass(frozen=True)
class Episode:
    """Exchanges in order; a failure ends an episode. seed: of its user."""

    persona: Persona
    seed: int
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True)
class Share:
    """Successes among n; rate is None for n = 0. interval: Wilson, 95%."""

    successes: int
    n: int

    @property
    def rate(self) -> float | None:
        return self.successes / self.n if self.n else None

    @property
    def interval(self) -> Interval:
        return wilson(self.successes, self.n)

    def to_json(self) -> dict[str, Any]:
        interval = self.interval
        return {"rate": self.rate, "n": self.n, "low": interval.low, "high": interval.high}


@dataclass(frozen=True)
class TurnFigures:
    """All exchanges of one turn. asked: replies and failures; failures: kind -> how many, in no share.

    in_persona and both leave out personas without a rule. remembers: on topic, of the turns that leave a value
    to the turn before.
    """

    asked: int
    repeated: int
    on_topic: Share
    in_persona: Share
    both: Share
    remembers: Share
    failures: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        shares = {
            name: getattr(self, name).to_json()
            for name in ("on_topic", "in_persona", "both", "remembers")
        }
        counts = {"asked": self.asked, "repeated": self.repeated, "failures": self.failures}
        return {**shares, **counts}


@dataclass(frozen=True)
class Figures:
    """all: every turn together. seed: the seeds of the episodes come from it and are in them."""

    seed: int
    episodes: tuple[Episode, ...]
    all: TurnFigures
    by_turn: tuple[TurnFigures, ...]

    def to_json(self) -> dict[str, Any]:
        """Figures and seeds, without what was said."""
        return {
            "seed": self.seed,
            "episodes": len(self.episodes),
            "seeds": [episode.seed for episode in self.episodes],
            "all": self.all.to_json(),
            "by_turn": [figures.to_json() for figures in self.by_turn],
        }


def run_episodes(
    reply: Replier,
    personas: Sequence[Persona],
    count: int,
    seed: int,
    *,
    turns: int = 3,
    split: Split = Split.TEST,
    speak: Speak | None = None,
    insists: bool = True,
) -> Figures:
    """count episodes, the personas in turn, each of up to `turns` turns; raises UsageError for none of either."""
    if not personas or count < 1:
        raise UsageError(
            f"{count} episodes with {len(personas)} personas: give at least one of each"
        )
    episodes = []
    for index in range(count):
        persona = personas[index % len(personas)]
        user = User(persona, derived_seed("episode", seed, index), turns, split, speak, insists)
        episodes.append(run_episode(reply, user))
    made = tuple(episodes)
    return Figures(seed, made, _all_turns(made), _by_turn(made, turns))


def run_episode(reply: Replier, user: User) -> Episode:
    """One episode, from the user's first turn to the last or to the first failure."""
    history: list[Turn] = []
    exchanges: list[Exchange] = []
    turn = user.next()
    while turn is not None:
        history.append(turn.turn)
        given = reply(user.persona, tuple(history))
        if given.text is None:
            exchanges.append(Exchange(turn, given, None))
            break
        exchanges.append(Exchange(turn, given, check(user.persona, turn, given.text)))
        history.append(Turn("assistant", given.text, given.audio))
        turn = user.next(given.text)
    return Episode(user.persona, user.seed, tuple(exchanges))


def reread(figures: Figures, text_of: Callable[[Reply], str]) -> Figures:
    """The figures of the same episodes with the replies checked in another reading of them."""
    episodes = tuple(
        replace(
            episode,
            exchanges=tuple(
                replace(e, checked=check(episode.persona, e.user, text_of(e.reply)))
                if e.reply.text is not None
                else e
                for e in episode.exchanges
            ),
        )
        for episode in figures.episodes
    )
    turns = len(figures.by_turn)
    return Figures(figures.seed, episodes, _all_turns(episodes), _by_turn(episodes, turns))


def prompts_of(episode: Episode, rubric: str | None = None) -> list[Prompt]:
    """A realtime prompt for each turn of the user, with all that was said before it.

    reference_text: what a perfect assistant says, of a persona that has an opening and an address.
    """
    said: list[Turn] = []
    prompts = []
    for exchange in episode.exchanges:
        said.append(exchange.user.turn)
        prompts.append(_prompt(episode.persona, said, exchange.user, rubric))
        said.append(Turn("assistant", exchange.reply.text, exchange.reply.audio))
    return prompts


def _prompt(persona: Persona, said: Sequence[Turn], user: UserTurn, rubric: str | None) -> Prompt:
    ideal = None
    if {"opening", "address"} <= persona.traits.keys():
        ideal = persona_reply(*pair(persona), user.intent.answers[0].format(**user.slots))
    return Prompt.of(
        Branch.REALTIME,
        ("en",),
        turns=tuple(said),
        persona=reference(persona),
        instruction=persona.traits.get("voice"),
        rubric=rubric,
        reference_text=ideal,
    )


def _by_turn(episodes: Sequence[Episode], turns: int) -> tuple[TurnFigures, ...]:
    numbered = range(1, turns + 1)
    return tuple(_figures(e for e in _exchanges(episodes) if e.user.number == n) for n in numbered)


def _all_turns(episodes: Sequence[Episode]) -> TurnFigures:
    return _figures(_exchanges(episodes))


def _exchanges(episodes: Iterable[Episode]) -> Iterable[Exchange]:
    return (exchange for episode in episodes for exchange in episode.exchanges)


def _figures(exchanges: Iterable[Exchange]) -> TurnFigures:
    every = list(exchanges)
    checked = [(e.user, e.checked) for e in every if e.checked is not None]
    return TurnFigures(
        asked=len(every),
        repeated=sum(e.user.repeats for e in every),
        on_topic=_share(c.on_topic for _, c in checked),
        in_persona=_share(c.in_persona for _, c in checked),
        both=_share(c.both for _, c in checked),
        remembers=_share(c.on_topic for user, c in checked if user.before),
        failures=dict(Counter(e.reply.failure.kind for e in every if e.reply.failure)),
    )


def _share(held: Iterable[bool | None]) -> Share:
    """None, for which nothing was checked, is left out."""
    known = [each for each in held if each is not None]
    return Share(sum(known), len(known))
