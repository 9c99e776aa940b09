"""`trivox cluster`: which command it is; a cluster that is not there."""

import pytest
from typer.testing import CliRunner

from trivox.commands.cluster import app
from trivox.platform.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["up"], "ray start --head --port=6379 --include-dashboard=false"),
        (["up", "--port", "7000", "--cpus", "0"],
         "ray start --head --port=7000 --include-dashboard=false --num-cpus=0"),
        (["up", "--dashboard"], "ray start --head --port=6379 --include-dashboard=true"),
        (["up", "--address", "10.0.0.5:6379", "--gpus", "1"],
         "ray start --address=10.0.0.5:6379 --num-gpus=1"),
        (["up", "--address", "x; rm -rf /"], "ray start '--address=x; rm -rf /'"),
        (["down"], "ray stop"),
    ],
)  # fmt: skip
def test_the_command(words: list[str], command: str) -> None:
    told = CliRunner().invoke(app, [*words, "--dry-run"])
    assert told.exit_code == 0 and told.stdout == f"{command}\n"


def test_a_dashboard_is_of_a_head() -> None:
    told = CliRunner().invoke(app, ["up", "--address", "10.0.0.5:6379", "--dashboard", "--dry-run"])
    assert isinstance(told.exception, ConfigError) and told.stdout == ""
