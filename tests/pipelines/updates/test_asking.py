"""What scorers are told of a prompt: how a voice of the model's own speaks without being asked."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trivox.pipelines.updates.asking import PLAIN, Asker
from trivox.platform.records import Branch, Prompt
from trivox.platform.store import Workspace
from trivox.policy.speaker import Utterance

RATE = 16_000
HERTZ = {"anna": 200.0, "tom": 100.0, "": 150.0}


class Humming:
    """A speaker that hums each voice's pitch (a FAKE: no model). asked: the voices, as they were asked for."""

    def __init__(self) -> None:
        codec = SimpleNamespace(spec=SimpleNamespace(sample_rate=RATE))
        self.tokens = SimpleNamespace(voices=("anna", "tom"))
        self.backbone, self.asked = SimpleNamespace(codec=codec), list[str]()

    def speak(self, said: Sequence[Utterance], seeds: Sequence[int]) -> list[Any]:
        self.asked += [one.instruction for one in said]
        return [SimpleNamespace(samples=hum(HERTZ[one.instruction])) for one in said]


def hum(hertz: float) -> np.ndarray[Any, Any]:
    time = np.arange(RATE) / RATE
    wave = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 6))
    return np.asarray(0.1 * wave, np.float32)


def prompt(instruction: str | None, branch: Branch = Branch.TTS) -> Prompt:
    return Prompt.of(branch, ("en-US",), text="turn on the light", instruction=instruction)


@pytest.mark.parametrize(
    ("instruction", "voice"), [("anna high", "anna"), ("speak low, tom", "tom"), ("slowly", "")]
)
def test_a_manner_is_told_beside_the_voice_by_itself(
    ws: Workspace, instruction: str, voice: str
) -> None:
    """A style is measured from how the voice that is named speaks by itself; it is asked once."""
    speaker: Any = Humming()
    asker = Asker(ws, speaker)
    own = asker.item(prompt(instruction)).baseline
    assert own is not None and own.clips == len(PLAIN)
    assert own.pitch_hz == pytest.approx(HERTZ[voice], rel=0.02)
    assert own.rate is not None and own.rate > 0
    assert asker.item(prompt(instruction)).baseline == own
    assert speaker.asked == [voice] * len(PLAIN)


@pytest.mark.parametrize("asked", [prompt("anna"), prompt(None), prompt("high", Branch.REALTIME)])
def test_where_no_manner_is_asked_nothing_is_spoken(ws: Workspace, asked: Prompt) -> None:
    speaker: Any = Humming()
    assert Asker(ws, speaker).item(asked).baseline is None and speaker.asked == []
