"""Blind sides: as good as a coin over many views, and always the same for one person and pair."""

from datetime import UTC, datetime

import pytest

from tests.annotation.web.sites import plain_site
from tests.annotation.work.conftest import people
from trivox.annotation.work.leasing import side_order
from trivox.annotation.work.service import Work
from trivox.annotation.work.shapes import Lease, SkipReason
from trivox.platform.records import Purpose, Task, TaskLease
from trivox.platform.store import Workspace

PAIRS, JUDGES = 40, 10


def test_the_coin_is_fair(workspace: Workspace) -> None:
    """4000 tosses: 2000 expected, deviation sqrt(4000 / 4) = 32, of which four are 126."""
    site = plain_site(workspace, 1)
    (task,) = workspace.records.find(Task, campaign=site.campaign.id)
    shown = [side_order(f"judge{n}", task, Purpose.JUDGE) for n in range(4000)]
    assert abs(sum(one == task.items for one in shown) - 2000) <= 126
    assert shown[:9] == [side_order(f"judge{n}", task, Purpose.JUDGE) for n in range(9)]


@pytest.mark.slow
def test_sides_are_balanced_over_400_views_and_stable_on_reload(workspace: Workspace) -> None:
    """Of 400 fair coins 200 heads are expected, with a deviation of sqrt(400 / 4) = 10: four of these are 40."""
    site = plain_site(workspace, PAIRS, overlap=JUDGES)
    campaign = site.campaign
    first_first, by_task = 0, dict[str, set[bool]]()
    for person in people(workspace, *(f"judge{number}" for number in range(JUDGES))):
        work = Work(workspace)
        work.acknowledge(person.id, campaign.id, 1)
        for _ in range(PAIRS):
            lease = work.next_lease(person.id, campaign.id)
            assert isinstance(lease, Lease), lease
            again = Work(workspace).next_lease(person.id, campaign.id)
            assert isinstance(again, Lease) and again.id == lease.id
            assert [one.audio_id for one in again.clips] == [one.audio_id for one in lease.clips]
            held = workspace.records.get(TaskLease, lease.id)
            kept = held.presentation == workspace.records.get(Task, lease.task).items
            first_first += kept
            by_task.setdefault(lease.task, set()).add(kept)
            work.skip(person.id, lease.id, SkipReason.OTHER, None, f"key-{lease.id}")
    assert abs(first_first - PAIRS * JUDGES / 2) <= 40
    assert sum(len(sides) == 2 for sides in by_task.values()) > PAIRS / 2, "one coin for all judges"


def test_a_side_comes_back_when_the_lease_ran_out(workspace: Workspace) -> None:
    """The same person meets the same pair on the same sides, under a new lease and new names of its clips."""
    site = plain_site(workspace, 1)
    (person,) = people(workspace, "ann")
    now = [datetime(2030, 1, 2, 12, tzinfo=UTC)]
    work = Work(workspace, lambda: now[0])
    work.acknowledge(person.id, site.campaign.id, 1)
    seen = []
    for hour in (12, 14, 16):
        now[0] = now[0].replace(hour=hour)
        lease = work.next_lease(person.id, site.campaign.id)
        assert isinstance(lease, Lease)
        seen.append(workspace.records.get(TaskLease, lease.id))
    assert len({one.id for one in seen}) == 3
    assert len({one.presentation for one in seen}) == 1
    assert len({clip.key for one in seen for clip in one.clips}) == 6
