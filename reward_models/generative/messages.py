"""A view as messages of a chat API, with its replies as audio where the judge hears."""

import base64
import io
from typing import Any

import numpy as np
import soundfile

from trivox.platform.records import Failure
from trivox.reward_models.generative.backends import JudgeFailure, failure
from trivox.reward_models.generative.questions import Reply, View
from trivox.reward_models.generative.templates import Template


def messages_of(
    view: View, template: Template, reasons: bool, hears: bool
) -> list[dict[str, Any]] | Failure:
    """System and user message. A reply that the judge can neither read nor hear is a failure."""
    heard = [reply for reply in view.shown if hears and reply.samples is not None]
    for name, reply in zip("AB", view.shown, strict=True):
        if reply.text is None and reply not in heard:
            needed = "text or audio" if hears else "text, for this judge does not hear"
            return failure(
                JudgeFailure.NOTHING_TO_JUDGE,
                f"question {view.question.id}: reply {name} ({reply.id}) has no {needed}",
            )
    text = template.question_text(view, reasons)
    closing = (
        "" if reasons else f"\nAnswer with one of {' '.join(template.labels)} and nothing else."
    )
    parts: list[dict[str, Any]] = [{"type": "text", "text": text + closing}]
    for name, reply in zip("AB", view.shown, strict=True):
        if reply in heard:
            parts += [{"type": "text", "text": f"Reply {name} as it sounds:"}, _audio(reply)]
    system = template.system_text(view.question.rubric, view.question.instruction)
    content: Any = parts if heard else parts[0]["text"]
    return [{"role": "system", "content": system}, {"role": "user", "content": content}]


def _audio(reply: Reply) -> dict[str, Any]:
    """16-bit WAV, base64."""
    buffer = io.BytesIO()
    samples = np.asarray(reply.samples, np.float32)
    soundfile.write(buffer, samples, int(reply.rate or 16000), format="WAV", subtype="PCM_16")
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
