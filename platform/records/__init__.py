"""The records of the platform, as frozen dataclasses in the field's own words.

Ids: what a round makes is named by `derived_id` of what it is made from, never of when; people's actions
get ULIDs. Times are timezone-aware UTC. `SCHEMA_VERSION` is stored with every Parquet file.
"""

from trivox.platform.records.audio import Audio
from trivox.platform.records.judgements import (
    Answer,
    AnswerKind,
    Campaign,
    JudgeKind,
    Judgement,
    Preference,
    PreferenceSet,
    Span,
    Task,
    TaskKind,
    Tie,
)
from trivox.platform.records.people import Consent, Person, Pool, Project, Role, RoleGrant, Speaker
from trivox.platform.records.policies import (
    Decision,
    Evaluation,
    PolicyStatus,
    PolicyVersion,
    RewardModelVersion,
)
from trivox.platform.records.prompts import (
    Branch,
    Persona,
    Prompt,
    PromptItem,
    PromptSet,
    Rubric,
    Split,
    Turn,
)
from trivox.platform.records.rollouts import (
    DecodingStatistics,
    FinishReason,
    Rollout,
    Sampling,
    Segment,
    SegmentKind,
)
from trivox.platform.records.rounds import CostEntry, Round, RoundStatus, Stage, StageRun
from trivox.platform.records.scores import Direction, Failure, Score, ScorerRole

SCHEMA_VERSION = 1

__all__ = [
    "SCHEMA_VERSION",
    "Answer",
    "AnswerKind",
    "Audio",
    "Branch",
    "Campaign",
    "Consent",
    "CostEntry",
    "Decision",
    "DecodingStatistics",
    "Direction",
    "Evaluation",
    "Failure",
    "FinishReason",
    "Judgement",
    "JudgeKind",
    "Persona",
    "Person",
    "PolicyStatus",
    "PolicyVersion",
    "Pool",
    "Preference",
    "PreferenceSet",
    "Project",
    "Prompt",
    "PromptItem",
    "PromptSet",
    "RewardModelVersion",
    "Role",
    "RoleGrant",
    "Rollout",
    "Round",
    "RoundStatus",
    "Rubric",
    "Sampling",
    "Score",
    "ScorerRole",
    "Segment",
    "SegmentKind",
    "Span",
    "Speaker",
    "Split",
    "Stage",
    "StageRun",
    "Task",
    "TaskKind",
    "Tie",
    "Turn",
]
