"""Who may use the labelling page: one browser, let in once by a token."""

import hashlib
import secrets
import threading

from trivox.platform.errors import ConfigError


class Access:
    """Exchanges the token for one session; whoever holds its cookie is in."""

    def __init__(self, token: str) -> None:
        """Raises ConfigError for a token that could be guessed."""
        if len(token) < 16:
            raise ConfigError(
                f"the token has {len(token)} characters: take secrets.token_urlsafe()"
            )
        self._token: str | None = token
        self._session = secrets.token_urlsafe(32)
        self._lock = threading.Lock()
        # Cookies are shared by all ports of a host: two label servers must not share a name.
        self.cookie = f"trivox_{secrets.token_hex(4)}"
        self.csrf = hashlib.sha256(f"csrf {self._session}".encode()).hexdigest()

    def enter(self, token: str) -> str | None:
        """The session's cookie for the right token, the first time; None after that, or for a wrong one."""
        with self._lock:
            if self._token is None or not _same(token, self._token):
                return None
            self._token = None
            return self._session

    def admits(self, cookie: str | None) -> bool:
        """Whether the cookie is that of the session, and the session has begun."""
        return self._token is None and _same(cookie or "", self._session)

    def confirms(self, csrf: str | None) -> bool:
        """Whether a POST came from our own page."""
        return _same(csrf or "", self.csrf)


def _same(given: str, expected: str) -> bool:
    return secrets.compare_digest(given.encode(), expected.encode())
