"""`trivox data forget`: one person's data, removed wherever lineage reaches."""

from trivox.pipelines.datasets.forgetting.plan import Plan, Subject, plan_for, unfinished
from trivox.pipelines.datasets.forgetting.service import Forgotten, forget

__all__ = ["Forgotten", "Plan", "Subject", "forget", "plan_for", "unfinished"]
