"""Every error that Trivox raises on purpose.

TrivoxError
├── UsageError                 wrong input by a person: exit code 2
│   ├── ConfigError            a value in a TOML file or option
│   ├── UnspeakableText        text outside a model's alphabet
│   ├── BrokenAudio            a file that cannot be decoded, or not as asked
│   ├── BadDirective           a directive of style that is unknown or out of place
│   ├── ContradictoryStyle     opposite directives or instructions at once
│   ├── BadImport              rows of an import that cannot be taken
│   └── NotFound               no object of that name or id
└── WorkError                  the work itself failed: exit code 1
    ├── StoreError             database, Parquet or audio store
    │   ├── NewerWorkspace     made by a later version of Trivox
    │   ├── CorruptObject      content does not match its hash
    │   ├── DatabaseLost       no connection to it, or lost in the middle of a transaction
    │   ├── DatabaseBusy       another process holds it for too long
    │   └── DiskFull
    ├── BudgetSpent            a project's, round's or campaign's; work goes on when it is raised
    ├── RefusedByConsent       licence or consent forbids the use
    ├── StageFailed            a stage of a round
    ├── BrokenScores           a model whose scores are no numbers
    ├── DeadEnd                a decoding constraint that allows nothing
    ├── ServerUnavailable      a server of completions: no answer, or none in time
    ├── ServerRefused          … an answer that the request cannot be served
    ├── BadAnswer              … an answer that is not of its protocol
    ├── UnsupportedLayout      codes that are no sequence in one vocabulary
    ├── MissingModel           weights that are not installed
    └── Busy                   no room for one more now

All are picklable, so that they survive process boundaries.
"""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_WAITING = 3


class TrivoxError(Exception):
    """Base of all; its text is one line for people: what, both values, the way out."""

    exit_code = EXIT_FAILED


class UsageError(TrivoxError, ValueError):
    """The request cannot be carried out as asked."""

    exit_code = EXIT_USAGE


class ConfigError(UsageError):
    """A configuration value is wrong or contradicts another."""


class UnspeakableText(UsageError):
    """A text that the model has no tokens for."""

    def __init__(self, text: str, strange: list[str], alphabet: str, where: str = "") -> None:
        super().__init__(text, strange, alphabet, where)
        self.text, self.strange, self.alphabet, self.where = text, strange, alphabet, where

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        place = f"{self.where}: " if self.where else ""
        if not self.strange:
            return f"{place}the text is empty: give at least one letter of {self.alphabet!r}"
        outside = " ".join(repr(character) for character in self.strange[:8])
        return (
            f"{place}{outside} in {shown!r} is outside the model's alphabet {self.alphabet!r}: "
            "spell it out in those letters, or use a policy that knows it"
        )


class BrokenAudio(UsageError):
    """Audio that cannot be read, or not in the form asked for."""


class BadImport(UsageError):
    """An import in which nothing, or not everything, could be taken."""


class BadDirective(UsageError):
    """A directive of style that is unknown or ill written; position: its first character, from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message, position)
        self.position = position

    def __str__(self) -> str:
        return str(self.args[0])


class ContradictoryStyle(UsageError):
    """Two styles that cannot hold at once."""

    def __init__(self, message: str, one: str, other: str) -> None:
        super().__init__(message, one, other)
        self.one, self.other = one, other

    def __str__(self) -> str:
        return str(self.args[0])


class NotFound(UsageError, LookupError):
    """No object of that name or id."""


class WorkError(TrivoxError, RuntimeError):
    """The request was sound; carrying it out failed."""


class StoreError(WorkError):
    """The store could not read or write."""


class NewerWorkspace(StoreError):
    """The workspace was made by a later version than this one."""


class CorruptObject(StoreError):
    """Stored content does not match the hash it is filed under."""


class DatabaseLost(StoreError):
    """No connection to the database; what was not committed is undone, and the same may be tried again."""


class DatabaseBusy(StoreError):
    """Another process holds what this one needs; nothing was written, and the same may be tried again."""


class DiskFull(StoreError):
    """No room is left where the workspace lies."""


class BudgetSpent(WorkError):
    """A budget or quota allows no more of this; nothing is lost, and the work goes on when it is raised."""

    exit_code = EXIT_WAITING


class RefusedByConsent(WorkError):
    """A licence or a speaker's consent forbids this use."""


class StageFailed(WorkError):
    """A stage of a round stopped; the message names the round, the stage and the cause."""


class BrokenScores(WorkError):
    """A model whose scores of the next token are no finite numbers."""


class DeadEnd(WorkError):
    """A decoding constraint that allows no token at all."""


class ServerUnavailable(WorkError):
    """A server of completions could not be reached, or did not answer in time, however often it was asked."""


class ServerRefused(WorkError):
    """A server of completions answered that it does not serve the request."""


class BadAnswer(WorkError):
    """A server of completions answered something that is not of its protocol."""


class MissingModel(WorkError):
    """Weights that this scorer or teacher needs are not installed."""


class Busy(WorkError):
    """All places are taken: later the same request may be carried out."""


class UnsupportedLayout(WorkError):
    """A layout of codes that is kept but that nothing can train on or generate."""

    def __init__(self, layout: str) -> None:
        super().__init__(layout)
        self.layout = layout

    def __str__(self) -> str:
        return (
            f"layout {self.layout!r} needs a head per codebook or a depth transformer: such codes are stored and "
            "imported, but not trained on or generated: lay them out flat, delayed or interleaved"
        )
