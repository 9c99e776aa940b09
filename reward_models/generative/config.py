"""Which judge, and how it works: what people write into TOML, and how it is opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trivox.reward_models.generative.backends import Backend
from trivox.reward_models.generative.judge import GenerativeJudge, JudgeSettings
from trivox.reward_models.generative.server_config import ServerConfig
from trivox.reward_models.generative.templates import load_template


class JudgeConfig(BaseModel):
    """A generative judge."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Literal["local", "backbone", "server"]
    """local: a language model of text; backbone: the shared model over text and audio tokens; server: any
    OpenAI-compatible one."""
    model: str | None = None
    """local: hub id or folder; backbone: folder. A server's is in its own table."""
    adapter: Path | None = None
    """backbone: what `trivox reward train-grm` made."""
    server: ServerConfig | None = None
    """Where the server is."""
    judging: JudgeSettings = JudgeSettings()
    """Prompt, reasoning, votes."""
    batch: int = Field(16, ge=1)
    """Views in one batch of a local model."""
    temperature: float = Field(0.7, ge=0)
    """Of a local model's reasoning; 0 takes the likeliest token."""
    reasoning_tokens: int = Field(96, ge=1)
    """Limit of a local model's reasoning."""
    least_mass: float = Field(0.01, ge=0, le=1)
    """Least probability of all labels together, below which a local model's answer counts as unreadable."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.backend == "server") != (self.server is not None):
            raise ValueError(
                f"backend {self.backend!r}: a table `server` belongs to backend 'server' and to no other"
            )
        if self.backend != "server" and not self.model:
            raise ValueError(f"backend {self.backend!r} needs `model`: give a folder")
        if self.adapter is not None and self.backend != "backbone":
            raise ValueError(f"backend {self.backend!r} takes no adapter: use backend 'backbone'")
        return self

    @property
    def family(self) -> str:
        """Shares it with scorers of the same weights; a judge that labels may not evaluate what it labelled."""
        if self.server is not None:
            return self.server.family or self.server.model
        return (
            "trivox-backbone" if self.backend == "backbone" else f"lm:{Path(self.model or '').name}"
        )


@contextmanager
def opened(config: JudgeConfig) -> Iterator[GenerativeJudge]:
    """The judge with its weights in memory or its connections open.

    Raises NotFound, MissingModel or ConfigError for a model, an adapter, a template or a key that is not there.
    """
    template = load_template(config.judging.template)
    with _backend(config) as backend:
        yield GenerativeJudge(backend, template, config.judging)


@contextmanager
def _backend(config: JudgeConfig) -> Iterator[Backend]:
    if config.server is not None:
        from trivox.reward_models.generative.server import ServerJudge

        with ServerJudge(config.server) as served:
            yield served
        return
    from trivox.reward_models.generative.local import Drawing, backbone_judge, language_model_judge

    drawing = Drawing(config.batch, config.temperature, config.reasoning_tokens, config.least_mass)
    if config.backend == "local":
        yield language_model_judge(str(config.model), drawing)
        return
    with backbone_judge(Path(str(config.model)), config.adapter, drawing) as judge:
        yield judge
