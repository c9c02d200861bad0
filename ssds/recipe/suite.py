"""A suite: tests that share a work folder and run in order, in one image, without network."""

from __future__ import annotations

from ssds.core.records import dataclass

WORK = "/run/ssds/work"
"""Where the work folder is seen."""
GIVEN = "/run/ssds/test"
"""Where a test's own files are seen, read-only."""

CHECKS = ("output_exists", "output_dir_not_empty", "same_dimensions", "is_3d")
"""What can be asked of files that tests leave behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question about files.

    Attributes:
        kind: one of CHECKS; ``same_dimensions`` takes two paths, the others one.
        paths: below the work folder.
    """

    kind: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTest:
    """One test of a suite.

    Attributes:
        name: unique in the suite.
        script: run by bash.
        files: name → text, seen below GIVEN.
        exit_code: the expected one; None means any.
        exit_code_not: one that it must not have; ``exit_code`` is then None.
        output: texts that must appear in standard output or standard error.
        checks: asked afterwards.
        depends_on: it is skipped where one of these did not pass.
        time_limit_s: seconds; in no key. ``tags``: in no key either.
    """

    name: str
    script: str
    files: tuple[tuple[str, str], ...] = ()
    exit_code: int | None = 0
    exit_code_not: int | None = None
    output: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    depends_on: tuple[str, ...] = ()
    time_limit_s: int = 120
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteData:
    """A file that lies in the work folder before the first test: a source, and where it is put."""

    source: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Tests with a work folder in common.

    Attributes:
        name: of the suite.
        setup: a script that runs before them in the image; the empty string for none.
        folders: made in the work folder before.
        data: files in it.
        skipped: why none of them can run; the empty string where they can.
        file: where it was read, relative to the workspace; in no key.
    """

    name: str
    tests: tuple[SuiteTest, ...]
    setup: str = ""
    folders: tuple[str, ...] = ()
    data: tuple[SuiteData, ...] = ()
    skipped: str = ""
    file: str = ""
