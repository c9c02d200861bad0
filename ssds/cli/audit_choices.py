"""What an audit changes for its rebuild, what it cannot, and why."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ssds.builders.plug import Embedded
from ssds.cli.output import say
from ssds.core.errors import UsageError
from ssds.core.platform import Platform
from ssds.core.records import dataclass
from ssds.graph.compile import Graph
from ssds.host import surroundings
from ssds.host.listing import can_reverse, listing_order
from ssds.host.machine import can_run
from ssds.host.surroundings import DAY_S, Surroundings
from ssds.workspace import Workspace

KNOBS = ("base", "clock", "cpus", "host-name", "layers", "locale", "umask")
"""What ``--keep`` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """How the surroundings of a rebuild are changed.

    Attributes:
        varied: what is changed, in words; kept: what is not, and why.
        bases: they are bootstrapped anew.
    """

    surroundings: Surroundings
    scratch: str
    varied: Mapping[str, str]
    kept: Mapping[str, str]
    bases: bool = True


def choose(
    workspace: Workspace,
    graph: Graph,
    platform: Platform,
    *,
    scratch: str,
    user: str,
    cpus: int,
    days: int,
    keep: tuple[str, ...],
) -> Chosen:
    """Returns what is changed for a rebuild here, and what stays and why."""
    scratch = os.path.abspath(scratch)
    if not os.path.isdir(scratch):
        raise UsageError(f"{scratch} is no folder", hint="Name one with --scratch.", code="E196")
    varied, kept = {"store": f"an empty one below {scratch}"}, dict.fromkeys(keep, "--keep")
    builder = workspace.settings.builder
    if builder == Embedded.name:
        kept["builder"] = f"{builder}; --builder names another one"
    else:
        varied["builder"] = builder
    if os.geteuid() != 0:
        kept.setdefault("host-name", "needs root")
        kept.setdefault("user", "needs root")
    elif user:
        surroundings.check_user(user)
        varied["user"] = user
    else:
        kept["user"] = "--user names another one"
    own = len(os.sched_getaffinity(0))
    if "cpus" not in kept and cpus != own:
        if cpus > own:
            kept["cpus"] = f"only {own} may be used here"
        else:
            varied["cpus"] = f"{cpus} of {own}"
    else:
        kept.setdefault("cpus", f"{own}, as before")
    _choose_clock(graph, platform, days, varied, kept)
    _choose_order(workspace, scratch, varied, kept)
    rest = {"host-name": "a random one", "locale": "tr_TR", "umask": "077"}
    varied |= {knob: words for knob, words in rest.items() if knob not in kept}
    changed = Surroundings(
        host_name=surroundings.other_host_name() if "host-name" in varied else "",
        user=user,
        cpus=cpus if "cpus" in varied else 0,
        umask=0o077 if "umask" in varied else -1,
        clock_offset_s=days * DAY_S if "clock" in varied else 0,
        reversed_layers="layers" in varied,
        locale="tr_TR.UTF-8" if "locale" in varied else "",
        time_zone="Pacific/Chatham" if "locale" in varied else "",
    )
    return Chosen(
        surroundings=changed, scratch=scratch, varied=varied, kept=kept, bases="base" not in kept
    )


def _choose_clock(
    graph: Graph, platform: Platform, days: int, varied: dict[str, str], kept: dict[str, str]
) -> None:
    if "clock" in kept:
        return
    if not days:
        kept["clock"] = "--days 0"
    elif can_run(platform).kind != "native":
        kept["clock"] = "emulated programs cannot load libfaketime"
    elif _uses_network(graph):
        kept["clock"] = "a step uses the network, whose certificates have dates"
    elif not surroundings.clock_library():
        kept["clock"] = "libfaketime is not installed: apt-get install libfaketime"
    else:
        varied["clock"] = f"+{days} days for the programs of steps"


def tell_choice(chosen: Chosen) -> None:
    """Says what is changed and what is not."""
    say("Changed: " + "; ".join(f"{k}: {v}" for k, v in sorted(chosen.varied.items())) + ".")
    say("As before: " + "; ".join(f"{k}: {v}" for k, v in sorted(chosen.kept.items())) + ".")


def _uses_network(part: Graph) -> bool:
    """Whether a step of the rebuild reaches out: its clock must then be the real one."""
    return any("impure" in node.marks for node in part.nodes.values())


def _choose_order(
    workspace: Workspace, scratch: str, varied: dict[str, str], kept: dict[str, str]
) -> None:
    order = listing_order(scratch)
    if order != listing_order(workspace.store.scratch):
        varied["readdir"] = "the file system lists names in another order"
    else:
        kept["readdir"] = "the file system lists names alike; --scratch on a tmpfs does not"
    if workspace.settings.builder != Embedded.name:
        kept.setdefault("layers", "the builder unpacks them")
    elif not can_reverse(order):
        kept.setdefault("layers", "the file system lists names by their hash")
    elif "layers" not in kept:
        varied["layers"] = "their folders list names the other way round"
