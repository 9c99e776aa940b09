"""Datasets as versions: what a workspace holds, chosen by filters, with a hash that says whether it is the
same."""

from trivox.pipelines.datasets.differences import Difference, difference
from trivox.pipelines.datasets.filters import Filters
from trivox.pipelines.datasets.versions import Manifest, find_version, freeze, versions_of

__all__ = [
    "Difference",
    "Filters",
    "Manifest",
    "difference",
    "find_version",
    "freeze",
    "versions_of",
]
