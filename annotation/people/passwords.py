"""Passwords: argon2id, at most two at once, since each takes 64 MiB and a core."""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from trivox.platform.errors import UsageError

LEAST, LONGEST = 10, 200
# RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes.
_HASHER = PasswordHasher(time_cost=3, memory_cost=65536, parallelism=4)
_AT_ONCE = threading.BoundedSemaphore(2)
# Verified where there is no such account, so that the time an answer takes does not tell.
_NOBODY = (
    "$argon2id$v=19$m=65536,t=3,p=4$GAF1gCQz4hNOIjyYdOuIYg"
    "$LNxxcaTioIpePtGeXurUZjjKJLRUo0ztMvtJT3KtMsc"
)


class WeakPassword(UsageError):
    """A password that is too short, too long, or the person's own name."""


def hashed(password: str, login: str = "") -> str:
    """The password's argon2id hash in encoded form; raises WeakPassword."""
    _check(password, login)
    with _AT_ONCE:
        return _HASHER.hash(password)


def _check(password: str, login: str) -> None:
    if not LEAST <= len(password) <= LONGEST:
        raise WeakPassword(
            f"the password has {len(password)} characters: give {LEAST} to {LONGEST}"
        )
    if len(set(password)) < 4 or password.casefold() == login.casefold():
        raise WeakPassword("this password is easily guessed: choose another")


def verified(stored: str | None, password: str) -> bool:
    """Whether the password is that of the stored hash; None takes as long, and is never right."""
    with _AT_ONCE:
        try:
            return _HASHER.verify(stored or _NOBODY, password[: LONGEST + 1]) and stored is not None
        except (VerificationError, InvalidHashError):
            return False


def outdated(stored: str) -> bool:
    """Whether a new hash would be stronger than the stored one."""
    return _HASHER.check_needs_rehash(stored)
