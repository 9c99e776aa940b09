"""Where a served judge is, and what it may cost: what people write into TOML."""

import os
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trivox.platform.errors import ConfigError


class ServerConfig(BaseModel):
    """An OpenAI-compatible server."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    base_url: str
    """Up to `/chat/completions`: `http://127.0.0.1:8000/v1`."""
    model: str = Field(min_length=1)
    """The name under which the server knows the model."""
    family: str | None = None
    """Models that share weights or method share a family; the model's name if not given."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself is never written down."""
    hears: bool = False
    """Whether replies go as audio too (input_audio parts)."""
    timeout_s: float = Field(60.0, gt=0)
    """Of one request, from its beginning to the end of the answer."""
    attempts: int = Field(4, ge=1, le=10)
    """Requests for one view at most."""
    pause_s: float = Field(0.5, ge=0)
    """Before the second attempt; it doubles with each one."""
    max_pause_s: float = Field(30.0, ge=0)
    """The longest pause, whatever the server asks for."""
    parallel: int = Field(4, ge=1, le=64)
    """Requests at once."""
    requests_per_minute: float = Field(600.0, gt=0)
    """Retries included."""
    prompt_price: float | None = Field(None, ge=0)
    """Of a million prompt tokens."""
    completion_price: float | None = Field(None, ge=0)
    """Of a million completion tokens."""
    currency: str = "USD"
    """Of the prices."""
    max_price: float | None = Field(None, gt=0)
    """No request is begun once so much is spent; those at work may go over it by what they cost."""
    temperature: float = Field(0.7, ge=0)
    """Of the reasoning; a verdict at once is not drawn."""
    reasoning_tokens: int = Field(512, ge=1)
    """Limit of an answer that reasons."""
    least_mass: float = Field(0.01, ge=0, le=1)
    """Least probability of all labels together: below it the model answered something else."""

    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                "base_url is no http address: give one such as http://127.0.0.1:8000/v1"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "base_url holds a user, password or query: name the key's variable in api_key_env"
            )
        return url

    @model_validator(mode="after")
    def _affordable(self) -> Self:
        if self.max_price is not None and None in (self.prompt_price, self.completion_price):
            raise ValueError(
                "max_price needs prompt_price and completion_price: without them nothing is counted"
            )
        return self

    def key(self) -> str | None:
        """Raises ConfigError for a variable that is not set."""
        if self.api_key_env is None:
            return None
        if not (key := os.environ.get(self.api_key_env, "").strip()):
            raise ConfigError(
                f"the judge's key: environment variable {self.api_key_env} is not set: set it"
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ConfigError(
                f"the judge's key: environment variable {self.api_key_env} holds a space, a line break or a sign "
                "that no header may hold: set it anew"
            )
        return key
