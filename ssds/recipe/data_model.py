"""A reference data set as immutable values."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.canonical import Json
from ssds.core.model import ReleaseName
from ssds.core.records import dataclass, field
from ssds.recipe.steps import SourceRequest

HOME = "data"
"""The folder of a set's files: of its layers, and in the sandbox below the root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What of a source is in a data set.

    Attributes:
        path: a file or folder in an unpacked source; the empty string means all of it.
        to: its path in the set; the empty string means its own name, the top for a folder.
        address: where the file says so; the empty string where it says nothing of ``unpack``.
    """

    source: str
    path: str = ""
    to: str = ""
    address: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStep:
    """A step that makes more files of a data set, in the image of a recipe.

    Attributes:
        recipe: ``samtools@1.16.1[+variant]``.
        script: starts in the folder of the data.
        time_limit_s: seconds; in no key.
    """

    name: str
    recipe: str
    script: str
    time_limit_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One version of a reference data set (``catalog/data/<set>/<version>.yaml``).

    Attributes:
        about: title, licences, homepage, categories, citations; in no key.
        environment: variables of its module; ``{path}`` is the folder of the data.
        loc: Galaxy's data tables: table → rows of column → value, ``{path}`` as above.
        resources: what an index step may use, as a recipe's.
    """

    id: ReleaseName
    path: str
    about: Mapping[str, Json] = field(default_factory=dict)
    sources: Mapping[str, SourceRequest] = field(default_factory=dict)
    unpack: tuple[Placement, ...] = ()
    index: tuple[IndexStep, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    loc: Mapping[str, Json] = field(default_factory=dict)
    resources: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSets:
    """The data sets of a catalog.

    Attributes:
        broken: names of sets with files that have errors.
    """

    known: Mapping[ReleaseName, DataSet] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
