"""Episodes: shares counted by hand, failures apart, and prompts with all that was said before."""

from collections.abc import Sequence

import pytest

from trivox.pipelines.realtime.episodes import Share, prompts_of, run_episode, run_episodes
from trivox.pipelines.realtime.personas import packaged_personas
from trivox.pipelines.realtime.simulator import Reply, User, scripted_reply
from trivox.platform.errors import UsageError
from trivox.platform.personas.registry import persona_of
from trivox.platform.records import Branch, Failure, Persona, Turn

PERSONAS = packaged_personas()


def test_a_perfect_assistant() -> None:
    figures = run_episodes(scripted_reply, PERSONAS, 24, seed=3)
    assert [turn.asked for turn in figures.by_turn] == [24, 24, 24]
    assert figures.all.both == Share(72, 72)
    assert figures.all.remembers == Share(24, 24)
    assert 0 < figures.by_turn[2].remembers.n < 24
    assert figures.by_turn[0].remembers.rate is None
    assert figures == run_episodes(scripted_reply, PERSONAS, 24, seed=3)
    assert len({episode.seed for episode in figures.episodes}) == 24


def test_out_of_character() -> None:
    def someone_else(persona: Persona, turns: Sequence[Turn]) -> Reply:
        return scripted_reply(PERSONAS[(PERSONAS.index(persona) + 1) % 12], turns)

    figures = run_episodes(someone_else, PERSONAS, 12, seed=3)
    assert figures.all.on_topic.rate == 1.0
    assert figures.all.in_persona.rate == figures.all.both.rate == 0.0


def test_off_topic_in_the_second_turn_by_hand() -> None:
    """Turn 2 gets nothing to the point, so turn 3 asks the same again: 2 of 3 on topic, memory only by chance."""

    def deaf(persona: Persona, turns: Sequence[Turn]) -> Reply:
        opening = f"{persona.traits['opening']} {persona.traits['address']}"
        return Reply(f"{opening} what") if len(turns) == 3 else scripted_reply(persona, turns)

    figures = run_episodes(deaf, PERSONAS, 10, seed=1)
    assert [turn.on_topic.successes for turn in figures.by_turn] == [10, 0, 10]
    assert [turn.repeated for turn in figures.by_turn] == [0, 0, 10]
    assert figures.all.in_persona == Share(30, 30)
    assert figures.all.both == Share(20, 30)


def test_failures_end_an_episode_and_are_in_no_share() -> None:
    def tired(persona: Persona, turns: Sequence[Turn]) -> Reply:
        if len(turns) == 3:
            return Reply(None, failure=Failure("no end", "said nothing within 60 s"))
        return scripted_reply(persona, turns)

    figures = run_episodes(tired, PERSONAS, 5, seed=1)
    assert [turn.asked for turn in figures.by_turn] == [5, 5, 0]
    assert figures.by_turn[1].failures == {"no end": 5}
    assert figures.by_turn[1].on_topic == Share(0, 0)
    assert figures.all.on_topic == Share(5, 5)
    assert figures.by_turn[2].to_json()["on_topic"] == {
        "rate": None,
        "n": 0,
        "low": 0.0,
        "high": 1.0,
    }


def test_personas_without_rules_are_not_counted_as_in_persona() -> None:
    bob = persona_of("default", "bob", "anybody", {})
    figures = run_episodes(lambda _, turns: scripted_reply(PERSONAS[0], turns), [bob], 4, seed=1)
    assert figures.all.on_topic == Share(12, 12)
    assert figures.all.in_persona.n == figures.all.both.n == 0


def test_figures_as_json() -> None:
    """Wilson for 3 of 3 at 95%: low is 1 / (1 + 1.95996^2 / 3) = 0.43850."""
    made = run_episodes(scripted_reply, PERSONAS, 3, seed=1).to_json()
    first = made["by_turn"][0]
    assert (first["both"]["rate"], first["both"]["n"], first["both"]["high"]) == (1.0, 3, 1.0)
    assert first["both"]["low"] == pytest.approx(0.43850, abs=1e-5)
    assert made["seed"] == 1 and len(made["seeds"]) == 3
    assert first["failures"] == {}


def test_prompts_have_all_that_was_said_before() -> None:
    user = User(PERSONAS[0], 5, speak=lambda words: f"audio of {words}")
    episode = run_episode(scripted_reply, user)
    prompts = prompts_of(episode, rubric="realtime@1")
    assert [len(prompt.turns) for prompt in prompts] == [1, 3, 5]
    assert prompts[2].turns[:3] == prompts[1].turns
    assert [turn.role for turn in prompts[2].turns] == ["user", "assistant"] * 2 + ["user"]
    assert all(turn.audio for turn in prompts[2].turns if turn.role == "user")
    for prompt in prompts:
        assert (prompt.branch, prompt.persona, prompt.rubric) == (
            Branch.REALTIME,
            "anna@1",
            "realtime@1",
        )
        assert prompt.instruction == "heart"
        assert prompt.reference_text and prompt.reference_text.startswith("aye captain ")
    assert prompts_of(episode, "realtime@1") == prompts


def test_nothing_to_run() -> None:
    with pytest.raises(UsageError, match="0 episodes with 12 personas"):
        run_episodes(scripted_reply, PERSONAS, 0, seed=1)
    with pytest.raises(UsageError, match="1 episodes with 0 personas"):
        run_episodes(scripted_reply, [], 1, seed=1)
