"""Secrets that people or browsers carry: given out once, kept as hashes alone."""

import hashlib
import secrets


def new_secret() -> str:
    """256 random bits, safe in a URL."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is stored of a secret of new_secret. It has too much entropy to be guessed: no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same(given: str, expected: str) -> bool:
    """Equality whose time tells nothing."""
    return secrets.compare_digest(given.encode(), expected.encode())
