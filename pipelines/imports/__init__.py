"""`trivox data import`: the user's own prompts and speech, and the prompts that Trivox brings."""

from trivox.pipelines.imports.builtin import builtin_prompts
from trivox.pipelines.imports.human_prompts import import_human_prompts
from trivox.pipelines.imports.layouts import Layout
from trivox.pipelines.imports.report import ImportReport
from trivox.pipelines.imports.rows import Refusal
from trivox.pipelines.imports.service import import_source
from trivox.pipelines.imports.splits import SplitPlan
from trivox.pipelines.imports.terms import Terms
from trivox.pipelines.imports.trying import take_source

__all__ = [
    "ImportReport",
    "Layout",
    "Refusal",
    "SplitPlan",
    "Terms",
    "builtin_prompts",
    "import_human_prompts",
    "import_source",
    "take_source",
]
