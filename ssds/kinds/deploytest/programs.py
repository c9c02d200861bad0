"""What hinders others to run a file of an image: the file itself, and the programs that it needs.

Sources: execve(2) on interpreters and their nesting; ``exec_binprm`` of Linux, which follows five.
"""

from __future__ import annotations

from collections.abc import Sequence

from ssds.core.records import dataclass
from ssds.core.text import shown
from ssds.kinds.deploytest.access import Access, mode_problems
from ssds.kinds.deploytest.libraries import Loader
from ssds.oci.programs import Interpreter, script_interpreters, start_problem

NESTED_LIMIT = 5
"""So many scripts in a row the kernel follows to a program that is none."""
_INTERPRETERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    """What is wrong with one file, and which programs it names with the places that they mean."""

    problems: tuple[str, ...]
    interpreters: tuple[tuple[Interpreter, str], ...] = ()


class Programs:
    """The programs of one image; each is looked at once."""

    def __init__(
        self, access: Access, loader: Loader, architecture: str, search: Sequence[str]
    ) -> None:
        self.access, self.tree, self.loader = access, access.tree, loader
        self.architecture, self.search = architecture, search
        self._known: dict[str, _Program] = {}

    def problems(self, path: str) -> tuple[str, ...]:
        """Returns all that hinders others to run a file."""
        found = dict.fromkeys(self._own(path).problems)
        seen, queue = {path}, [path]
        for one in queue:  # grows while it runs
            for wanted, place in self._own(one).interpreters:
                if place in seen:
                    continue
                if len(seen) > _INTERPRETERS:
                    return (*found, f"it needs more than {_INTERPRETERS} interpreters")
                seen.add(place)
                queue.append(place)
                own = self._own(place).problems
                found.update((f"its interpreter {shown(wanted.name)}: {p}", None) for p in own)
        if self._nested(path) > NESTED_LIMIT:
            found[f"a script of scripts: the kernel follows {NESTED_LIMIT} in a row"] = None
        return tuple(found)

    def is_open(self, path: str) -> bool:
        """Whether others reach an executable file there: what a search along PATH takes."""
        entry, way = self.access.follow(path)
        return entry is not None and entry.type == "file" and bool(entry.mode & 1) and not way

    def _nested(self, path: str) -> int:
        """Returns how many scripts in a row start a file; it counts no further than it matters."""
        count = 0
        while count <= NESTED_LIMIT and (named := self._own(path).interpreters):
            path = named[0][1]
            count += 1
        return count

    def _own(self, path: str) -> _Program:
        known = self._known.get(path)
        if known is None:
            known = self._known[path] = self._look(path)
        return known

    def _look(self, path: str) -> _Program:
        entry, way = self.access.follow(path)
        if entry is None:
            return _Program(problems=way)
        if entry.type != "file" or not entry.mode & 0o111:
            return _Program(problems=(*way, f"{shown(path)} is not an executable file"))
        found = [*way, *mode_problems(entry, 5)]
        problem = start_problem(self.tree, entry, self.architecture, self.search)
        if problem:
            return _Program(problems=(*found, problem))
        named = script_interpreters(self.tree, entry)
        return _Program(
            problems=tuple(dict.fromkeys((*found, *self.loader.problems(entry)))),
            interpreters=tuple((i, i.find(self.tree, self.search)) for i in named),
        )
