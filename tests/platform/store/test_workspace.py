"""A workspace is made whole or not at all, and opened only by a version that knows it."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from trivox.platform.errors import (
    ConfigError,
    DiskFull,
    NewerWorkspace,
    NotFound,
    StoreError,
    UsageError,
)
from trivox.platform.records import Project
from trivox.platform.store import Workspace, migrations, workspace
from trivox.platform.store.engine import writing
from trivox.platform.store.migrations import HEAD

Create = Callable[[Path], Workspace]


def test_create(tmp_path: Path) -> None:
    with Workspace.create(tmp_path / "a" / "ws") as ws:
        assert ws.project == "default"
        assert [project.id for project in ws.records.find(Project)] == ["default"]
        assert ws.root == (tmp_path / "a" / "ws").resolve()
    assert sorted(path.name for path in ws.root.iterdir()) == [
        "audio",
        "tables",
        "trivox.db",
        "trivox.toml",
    ]
    assert [path.name for path in ws.root.parent.iterdir()] == ["ws"]


def test_create_in_a_folder_that_holds_other_things(tmp_path: Path, create: Create) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    create(tmp_path).close()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".unfinished")]


def test_create_never_overwrites(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "ws").close()
    with pytest.raises(UsageError, match="is a Trivox workspace already"):
        Workspace.create(tmp_path / "ws")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "trivox.db").write_text("mine")
    with pytest.raises(UsageError, match=r"holds 'trivox\.db' already"):
        Workspace.create(tmp_path / "b")
    assert (tmp_path / "b" / "trivox.db").read_text() == "mine"
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["trivox.db"]
    with pytest.raises(UsageError, match="is a file"):
        Workspace.create(tmp_path / "b" / "trivox.db")


@pytest.mark.parametrize("there_before", [False, True])
def test_create_on_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there_before: bool
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    root = tmp_path / "ws"
    if there_before:
        root.mkdir()
    monkeypatch.setattr(workspace, "write_atomically", full)
    with pytest.raises(DiskFull, match="free some space"):
        Workspace.create(root)
    assert list(tmp_path.iterdir()) == ([root] if there_before else [])
    assert not there_before or list(root.iterdir()) == []


def test_folder_becomes_a_workspace_last_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    moved: list[str] = []

    def rename(source: Path, target: Path) -> None:
        moved.append(target.name)
        if target == tmp_path / "trivox.toml":
            raise OSError(28, "No space left on device")
        os.replace(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(DiskFull):
        Workspace.create(tmp_path)
    assert moved[3] == "trivox.toml"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_open_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="run `trivox init"):
        Workspace.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_newer_layout(tmp_path: Path, create: Create) -> None:
    create(tmp_path / "ws").close()
    toml = tmp_path / "ws" / "trivox.toml"
    text = toml.read_text().replace("workspace_version = 1", "workspace_version = 2\nfuture = 1")
    toml.write_text(text)
    with pytest.raises(NewerWorkspace, match=r"version 2, newer than 1\b.*update Trivox"):
        Workspace.open(tmp_path / "ws")


def test_newer_database(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "ws").close()
    database = sqlite3.connect(tmp_path / "ws" / "trivox.db")
    database.execute("UPDATE alembic_version SET version_num = '0999'")
    database.commit()
    database.close()
    with pytest.raises(NewerWorkspace, match=f"revision '0999', newer than '{HEAD}'"):
        Workspace.open(tmp_path / "ws")


def test_wrong_configuration(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "ws").close()
    toml = tmp_path / "ws" / "trivox.toml"
    kept = toml.read_text()
    for wrong, message in [
        (kept.replace("audio =", "sound ="), "sound: Extra inputs"),
        (kept.replace("sqlite:///trivox.db", "trivox.db"), "is not a URL"),
        (kept.replace("sqlite:", "nosuchdb:"), "cannot be opened here"),
        ("not toml", "not valid TOML"),
    ]:
        toml.write_text(wrong)
        with pytest.raises(ConfigError, match=message):
            Workspace.open(tmp_path / "ws")


def test_database_missing_or_broken(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "ws").close()
    database = tmp_path / "ws" / "trivox.db"
    database.unlink()
    with pytest.raises(StoreError, match="is missing"):
        Workspace.open(tmp_path / "ws")
    assert not database.exists()
    database.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        Workspace.open(tmp_path / "ws")


def test_workspace_can_be_moved(tmp_path: Path, create: Create) -> None:
    create(tmp_path / "ws").close()
    shutil.move(tmp_path / "ws", tmp_path / "elsewhere")
    with Workspace.open(tmp_path / "elsewhere") as ws:
        assert ws.records.get(Project, "default").name == "default"


def test_sqlite_is_set_up(tmp_path: Path) -> None:
    with Workspace.create(tmp_path / "ws") as ws, ws._engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30000}


def test_opening_waits_for_no_writer(ws: Workspace) -> None:
    with ws.records.transaction(), Workspace.open(ws.root) as other:
        assert len(other.records.find(Project)) == 1


def test_processes_that_open_an_older_workspace_at_once(tmp_path: Path, create: Create) -> None:
    """One migrates, the others wait and find it done."""
    with create(tmp_path / "ws") as ws, writing(ws._engine).begin() as connection:
        migrations.downgrade(connection, "base")
    code = (
        "import sys; from pathlib import Path; from trivox.platform.store import Workspace\n"
        "Workspace.open(Path(sys.argv[1])).close()"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(ws.root)], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [one.communicate()[1] for one in started] == [b"", b"", b""]
    assert [one.returncode for one in started] == [0, 0, 0]


def test_opening_is_fast(tmp_path: Path) -> None:
    Workspace.create(tmp_path / "ws").close()
    took = []
    for _ in range(3):
        start = time.perf_counter()
        Workspace.open(tmp_path / "ws").close()
        took.append(time.perf_counter() - start)
    assert min(took) < 0.3


def test_import_is_light() -> None:
    code = (
        "import sys, trivox.platform.store, trivox.platform.registry\n"
        "heavy = {'torch', 'ray', 'transformers', 'scipy', 'polars', 'pyarrow', 'alembic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


_ON_TMPFS = """
set -e
mount -t tmpfs -o size=2m tmpfs "$1"
exec "$2" -c '
import sys
from pathlib import Path
import numpy as np
from trivox.platform.errors import DiskFull
from trivox.platform.records import Branch, Prompt
from trivox.platform.store import Workspace
root = Path(sys.argv[1])
ws = Workspace.create(root / "ws")
(root / "filler").write_bytes(bytes(2**21 - 4096 * 250))
noise = np.random.default_rng(0).uniform(-1, 1, 500000).astype(np.float32)
prompts = [Prompt.of(Branch.TTS, ("en",), text=f"{n} " * 5000) for n in range(200)]
for attempt in (
    lambda: ws.audio.put(noise, 16000, project="default", source="noise"),
    lambda: ws.records.add(*prompts),
    lambda: Workspace.create(root / "second"),
):
    try:
        attempt()
    except DiskFull as error:
        print("full:", error)
left = [p for p in root.rglob("*") if "unfinished" in p.name or p.suffix in (".tmp", ".flac")]
assert not left, left
assert not (root / "second").exists()
(root / "filler").unlink()
ws.close()
assert ws.records.find(Prompt) == []
assert ws.records.add(*prompts[:2]) == 2
' "$1"
"""


@pytest.mark.skipif(
    os.name != "posix" or shutil.which("unshare") is None, reason="no mount namespaces here"
)
def test_really_full_disk(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    arguments = ["unshare", "-m", "sh", "-c", _ON_TMPFS, "sh", str(tmp_path), sys.executable]
    done = subprocess.run(arguments, capture_output=True, text=True)
    if "mount:" in done.stderr:
        pytest.skip("mounting is not permitted here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("full:") == 3, done.stdout
