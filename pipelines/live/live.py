"""What all live routes share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trivox.pipelines.live.hub import Hub
from trivox.pipelines.live.keeping import Keeper
from trivox.pipelines.live.limits import LiveLimits
from trivox.pipelines.realtime.answering import find_persona
from trivox.platform.records import Persona


@dataclass(frozen=True)
class Live:
    """model: the version that answers where a client names none; persona: who answers, by default. origins: of
    pages on other sites that may connect. keeper: keeps replies; None keeps nothing. sockets: those that are
    open."""

    hub: Hub
    model: str = "nano"
    persona: str = "anna"
    limits: LiveLimits = field(default_factory=LiveLimits)
    origins: Sequence[str] = ()
    keeper: Keeper | None = None
    sockets: set[Any] = field(default_factory=set)

    @property
    def root(self) -> Path:
        return self.hub.root

    def find_persona(self, name: str) -> Persona:
        """Raises NotFound."""
        return find_persona(self.root, name)
