"""Two real processes told to run the same round, and what is left when one of them is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.chaos import CONFIG
from tests.e2e.test_chaos import prepared
from trivox.pipelines.rounds.owner import is_dead
from trivox.pipelines.rounds.service import RoundService
from trivox.pipelines.rounds.worker import next_round
from trivox.platform.records import Round, RoundStatus
from trivox.platform.store import Workspace

PATIENCE_S = 600.0


def told_to_run(root: Path, config: Path) -> "subprocess.Popen[str]":
    words = ["round", "run", "--config", str(config), "--workspace", str(root), "--no-serve"]
    return subprocess.Popen(
        [sys.executable, "-m", "trivox.cli", *words], stderr=subprocess.PIPE, text=True
    )


def held(ws: Workspace, process: "subprocess.Popen[str]") -> Round:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        for one in ws.records.find(Round, status=RoundStatus.RUNNING):
            return one
        time.sleep(0.05)
    raise AssertionError(f"the first process did not begin: {process.poll()}")


@pytest.mark.slow
def test_one_works_the_other_says_so_and_a_killed_one_frees_it_at_once(tmp_path: Path) -> None:
    config = tmp_path / "round.toml"
    config.write_text(CONFIG, encoding="utf-8")
    root = prepared(tmp_path / "ws")
    with Workspace.open(root) as ws:
        first = told_to_run(root, config)
        try:
            round_ = held(ws, first)
            assert round_.worker is not None and f":{first.pid}." in round_.worker
            second = told_to_run(root, config)
            _, told = second.communicate(timeout=PATIENCE_S)
            assert second.returncode == 2
            assert f"held by {round_.worker}: nothing to run here" in " ".join(told.split())
            assert next_round(ws) is None and RoundService(ws).status("last").alive is None
        finally:
            os.kill(first.pid, signal.SIGKILL)
            first.communicate()
        # Not after the lease of two minutes: the process of this machine is seen to be gone.
        assert is_dead(round_.worker) and RoundService(ws).status("last").alive is False
        free = next_round(ws)
        assert free is not None and free.id == round_.id
        assert free.lease_until is not None and free.lease_until > round_.updated_at
