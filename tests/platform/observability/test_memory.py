"""Peak memory is of one process."""

import subprocess
import sys
from pathlib import Path

import pytest

from trivox.platform.observability import memory
from trivox.platform.observability.memory import peak_bytes

ASKED = "from trivox.platform.observability.memory import peak_bytes; print(peak_bytes())"


def test_the_peak_holds_what_was_given_back_and_is_not_taken_over() -> None:
    """200 MB touched and given back stay in the peak of this process, and are not in that of one it starts."""
    before = peak_bytes()
    held = bytearray(200 << 20)
    held[::4096] = b"x" * len(held[::4096])
    del held
    assert peak_bytes() >= before > 0
    assert peak_bytes() > 200 << 20
    told = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    assert 0 < int(told.stdout) < 200 << 20


@pytest.mark.parametrize("status", [None, "", "Name:\tpython\nVmRSS:\t   100 kB\n"])
def test_where_the_kernel_does_not_say_it_the_process_does(
    status: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gVisor's /proc/self/status has no VmHWM; macOS has no /proc."""
    if status is not None:
        (tmp_path / "status").write_text(status)
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    assert peak_bytes() > 1 << 20
