"""The site of a workspace as a process of its own: `python -m trivox.bench.annotation_site ROOT PORT`."""

import sys
from pathlib import Path

import uvicorn

from trivox.annotation.webapp import make_site
from trivox.platform.store import Workspace


def serve(root: Path, port: int) -> None:
    with Workspace.open(root) as workspace:
        uvicorn.run(
            make_site(workspace), host="127.0.0.1", port=port, log_level="warning", access_log=False
        )


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
