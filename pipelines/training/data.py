"""The rows of a recipe, and an account of those that cannot be used."""

from collections import Counter
from dataclasses import dataclass

from trivox.pipelines.rounds.finding import find_prompt_set
from trivox.pipelines.training.align import Aligner
from trivox.pipelines.training.recipe import TrainingRecipe
from trivox.pipelines.training.rows import UNUSABLE, RowMaker
from trivox.platform.errors import ConfigError
from trivox.platform.progress import progress
from trivox.platform.records import Branch, Prompt, PromptSet, Split
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone
from trivox.policy.rows import Row


@dataclass(frozen=True)
class LeftOut:
    """A prompt of a set that gave no row, and why."""

    prompt: str
    set: str
    reason: str


@dataclass(frozen=True)
class TrainingData:
    """rows with the weight of their set and their branch; approximate: recordings whose words could only be placed
    by the number of their letters."""

    rows: tuple[Row, ...]
    weights: tuple[float, ...]
    branches: tuple[Branch, ...]
    left_out: tuple[LeftOut, ...]
    aligner: str
    approximate: int

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each branch."""
        return dict(Counter(branch.value for branch in self.branches))


def find_sets(ws: Workspace, recipe: TrainingRecipe) -> list[tuple[PromptSet, float]]:
    """The sets with their weights; raises NotFound, and ConfigError for one set that is named twice."""
    found = [(find_prompt_set(ws, name), weight) for name, weight in recipe.data.items()]
    for name, count in Counter(one.reference for one, _ in found).items():
        if count > 1:
            raise ConfigError(f"prompt set {name} is named {count} times: name it once")
    return found


def gather(
    ws: Workspace, backbone: Backbone, recipe: TrainingRecipe, aligner: Aligner
) -> TrainingData:
    """The rows of the training splits. A set or branch of weight 0 is not looked at.

    Raises ConfigError, with their number and the first of them, for prompts that give no row, unless the recipe
    excludes them; and when no row is left.
    """
    maker = RowMaker(ws, backbone, aligner, recipe.reasoning_share, recipe.seed)
    rows, weights, branches, left_out = list[Row](), list[float](), list[Branch](), list[LeftOut]()
    wanted = _wanted(ws, recipe)
    for source, weight, prompt in progress(wanted, "making rows"):
        try:
            rows.append(maker.row(prompt))
        except UNUSABLE as error:
            left_out.append(LeftOut(prompt.id, source.reference, str(error)))
            continue
        weights.append(weight)
        branches.append(prompt.branch)
    _check(recipe, len(wanted), left_out)
    given = (tuple(rows), tuple(weights), tuple(branches), tuple(left_out))
    return TrainingData(*given, aligner.name, aligner.approximate)


def _wanted(ws: Workspace, recipe: TrainingRecipe) -> list[tuple[PromptSet, float, Prompt]]:
    found = []
    for source, weight in find_sets(ws, recipe):
        for prompt_id in source.prompts(Split.TRAIN) if weight else ():
            prompt = ws.records.get(Prompt, prompt_id)
            if recipe.train.branch_weights.get(prompt.branch, 1.0):
                found.append((source, weight, prompt))
    if not found:
        raise ConfigError(
            f"{', '.join(recipe.data)}: no prompt of their training splits has a weight above 0: "
            "import some, or raise the weights"
        )
    return found


def _check(recipe: TrainingRecipe, wanted: int, left_out: list[LeftOut]) -> None:
    if left_out and (recipe.on_unusable == "refuse" or len(left_out) == wanted):
        first = left_out[0]
        way_out = "" if len(left_out) == wanted else '; on_unusable = "exclude" leaves them out'
        raise ConfigError(
            f"{len(left_out)} of {wanted} prompts cannot be trained on; the first, {first.prompt} of "
            f"{first.set}: {first.reason}{way_out}"
        )
