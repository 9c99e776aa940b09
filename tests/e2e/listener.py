"""A person at the labelling pages, as far as HTTP goes: opens the link, plays both clips, answers."""

import re
import time
from typing import Any

import httpx

TIES = ("both_good", "both_bad", "cannot_tell")


class Listener:
    """Enters by a one-time link and works in the campaign that it leads to."""

    def __init__(self, client: httpx.Client, link: str, name: str = "Ann") -> None:
        self._client = client
        assert client.get(link).status_code == 200
        entered = client.post(link, data={"name": name})
        assert entered.status_code == 303, entered.text
        self.campaign = entered.headers["location"].removeprefix("/work/")
        self._token = client.get("/api/v1/me").json()["csrf"]
        (card,) = client.get("/api/v1/work").json()["campaigns"]
        read = {"version": card["guideline_version"]}
        self.post(f"/api/v1/work/{self.campaign}/acknowledge", read).raise_for_status()

    def page(self) -> str:
        return self._client.get(f"/work/{self.campaign}").text

    def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return self._client.post(path, json=body, headers={"X-CSRF-Token": self._token})

    def answer(self, choice: str) -> None:
        """Plays both clips to their end and answers, `a3` to `b3` or a tie; raises where the server refuses."""
        page = self.page()
        lease = found(r'data-lease="([^"]+)"', page)
        clips = re.findall(r'class="clip" data-audio="([^"]+)" data-url="([^"]+)"', page)
        played = [self._play(name, address) for name, address in clips]
        for number, report in enumerate(played, 1):
            report["number"] = number
        time.sleep(sum(one["end_s"] for one in played))
        self.post(f"/api/v1/leases/{lease}/progress", {"played": played}).raise_for_status()
        said = {**as_given(choice), "idempotency_key": f"test-{lease}"}
        self.post(f"/api/v1/leases/{lease}/answer", said).raise_for_status()

    def _play(self, name: str, address: str) -> dict[str, Any]:
        """Fetches a clip; the report of having played it, its duration from the WAV header."""
        wave = self._client.get(address, headers={"Range": "bytes=0-"}).content
        bytes_per_second = int.from_bytes(wave[28:32], "little")
        return {"audio_id": name, "start_s": 0.0, "end_s": (len(wave) - 44) / bytes_per_second}


def as_given(choice: str) -> dict[str, Any]:
    if choice in TIES:
        return {"kind": "tie", "tie": choice}
    strength = int(choice[1])
    return {"kind": "comparison", "comparison": strength if choice[0] == "a" else -strength}


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, f"{pattern} is not in {text}"
    return match[1]
