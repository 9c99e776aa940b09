"""`python -m trivox.pipelines.updates.learning`, which `make learn` runs: one file for each branch and seed, then
all of them in one. Broken off, it goes on where it was: the same recipe on the same weights is the same version,
and what was measured once is not measured again.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from trivox.pipelines.updates.learning.experiments import EXPERIMENTS, FULL, TINY, open_place
from trivox.pipelines.updates.learning.report import summary
from trivox.platform.errors import TrivoxError
from trivox.platform.progress import say
from trivox.platform.records import Branch
from trivox.platform.store.files import write_atomically

SEEDS = (0, 1, 2)


def main(arguments: list[str] | None = None) -> int:
    """0 where all runs ended, whether or not their targets are met; 1 where one of them failed."""
    asked = _parser().parse_args(arguments)
    scale = TINY if asked.tiny else FULL
    failed = 0
    with open_place(asked.workspace) as ws:
        for branch in map(Branch, asked.branch):
            for seed in asked.seed:
                file = asked.out / f"{branch.value}-{seed}.json"
                say(f"{branch.value}, seed {seed}")
                try:
                    found = EXPERIMENTS[branch](ws, seed, scale)
                except TrivoxError as error:
                    say(f"{branch.value}, seed {seed} failed: {error}")
                    failed += 1
                    continue
                _write(file, {"seed": seed, "tiny": asked.tiny} | found)
    runs = [json.loads(file.read_text()) for file in sorted(asked.out.glob("*-[0-9]*.json"))]
    told = summary([one for one in runs if one["tiny"] == asked.tiny])
    _write(asked.out / "summary.json", told)
    sys.stdout.write(json.dumps(told) + "\n")
    return 1 if failed else 0


def _write(file: Path, content: dict[str, Any]) -> None:
    write_atomically(file, json.dumps(content, indent=1, default=str).encode())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trivox.pipelines.updates.learning")
    every = [one.value for one in Branch]
    parser.add_argument("--branch", nargs="+", choices=every, default=every)
    parser.add_argument("--seed", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--workspace", type=Path, default=Path("trivox-workspace-learn"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/learn"))
    parser.add_argument("--tiny", action="store_true", help="two steps: shows that it runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
