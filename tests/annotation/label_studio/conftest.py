"""Passwords are hashed at the least cost, so that tests are quick."""

import pytest
from argon2 import PasswordHasher

from trivox.annotation.people import passwords


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", cheap)
