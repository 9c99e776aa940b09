"""What every test runs under: one thread, no network, no telemetry, the same examples each time.

The variables are set before anything imports torch, transformers or Ray; processes started by tests inherit them.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from trivox.bench.servers import S3, Postgres, postgres, s3
from trivox.platform.errors import ConfigError

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "2",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray's own is 15: on a busy machine its workers then hardly run
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
}

# Derandomised: a test that passed passes again. No deadline: the machines of CI are slow at times.
settings.register_profile("trivox", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("trivox")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One real Ray of two CPU slots for all tests that need one."""
    import ray

    from trivox.pipelines.pools.cluster import ensure_ray

    ensure_ray(2)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """One real PostgreSQL for all tests; its database trivox_store has all tables, to be copied."""
    try:
        with postgres() as server:
            server.sql("CREATE DATABASE trivox_store")
            _migrate(server.url("trivox_store"))
            yield server
    except ConfigError as error:
        pytest.skip(str(error))


def _migrate(url: str) -> None:
    import sqlalchemy as sa

    from trivox.platform.store.engine import make_engine
    from trivox.platform.store.migrations import migrate

    engine = make_engine(sa.make_url(url))
    migrate(engine, url)
    engine.dispose()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """One real S3 service for all tests."""
    try:
        with s3() as server:
            yield server
    except ConfigError as error:
        pytest.skip(str(error))
