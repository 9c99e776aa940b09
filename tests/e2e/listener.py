"""A person at the labelling page, as far as HTTP goes: opens the link, plays both clips, answers."""

import re
from collections.abc import Callable
from typing import Any

import httpx


class Listener:
    """pass_time: lets that many seconds pass, really or by a test's clock."""

    def __init__(self, client: httpx.Client, link: str, pass_time: Callable[[float], None]) -> None:
        self._client, self._pass_time = client, pass_time
        assert client.get(link).status_code == 200
        page = client.get("/").text
        csrf = _found(r'name="csrf" value="(\w+)"', page)
        client.post("/name", data={"csrf": csrf, "name": "Ann"})

    def page(self) -> str:
        return self._client.get("/").text

    def answer(self, choice: str) -> dict[str, Any]:
        """Plays both clips to their end and answers; raises where the server refuses."""
        page = self.page()
        seconds = [self._play(address) for address in re.findall(r'<audio src="([^"]+)"', page)]
        self._pass_time(sum(seconds))
        body = {
            "view": _found(r'data-view="([^"]+)"', page),
            "choice": choice,
            "heard_s": seconds,
        }
        token = _found(r'name="csrf-token" content="(\w+)"', page)
        said = self._client.post("/judgements", json=body, headers={"X-CSRF-Token": token})
        said.raise_for_status()
        told: dict[str, Any] = said.json()
        return told

    def _play(self, address: str) -> float:
        """Fetches a clip; its duration in seconds, from the WAV header."""
        wave = self._client.get(address, headers={"Range": "bytes=0-"}).content
        bytes_per_second = int.from_bytes(wave[28:32], "little")
        return (len(wave) - 44) / bytes_per_second


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, f"{pattern} is not in {text}"
    return match[1]
