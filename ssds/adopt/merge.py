"""Joins what several sources say of one release; tells where they contradict each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ssds.adopt.model import Listed, Seen
from ssds.core.digest import Digest
from ssds.core.errors import InvalidValue
from ssds.core.platform import Platform
from ssds.core.records import dataclass, replace
from ssds.lock.model import AdoptedAbout, Adoption

_FIELDS = ("name", "version", "built")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What lists say of a name and version.

    Attributes:
        built: the days that they name; more than one is a contradiction.
        about: the rest, joined; the first list's order.
    """

    built: frozenset[str]
    about: AdoptedAbout


def facts_of(listed: Iterable[Listed]) -> Facts:
    """Returns what several lists say of one name and version."""
    built: set[str] = set()
    about = AdoptedAbout()
    for entry in listed:
        built.add(entry.about.built)
        about = _joined(about, entry.about)
    return Facts(built=frozenset(built - {""}), about=about)


def _joined(one: AdoptedAbout, other: AdoptedAbout) -> AdoptedAbout:
    return AdoptedAbout(
        built=one.built or other.built,
        categories=tuple(dict.fromkeys((*one.categories, *other.categories))),
        applications=tuple(dict.fromkeys((*one.applications, *other.applications))),
        arguments=tuple(dict.fromkeys((*one.arguments, *other.arguments))),
        hidden=tuple(sorted({*one.hidden, *other.hidden})),
        webapp=one.webapp or other.webapp,
    )


def adoption_of(
    found: Sequence[Seen],
    platform: Platform,
    facts: Facts,
    fallbacks: Sequence[str],
    old: Adoption | None,
    *,
    anew: bool = False,
) -> tuple[Adoption, str]:
    """Returns one build's adoption on a platform, or why its places contradict each other.

    Folders, files and images of registries have digests that cannot be compared: the lock keeps the
    kind that it has, a new one gets the first source's; places of other kinds are fallback sources.
    Two of one kind must have one digest.

    Args:
        old: what the lock says; anew: whether that is gone, or another build.
    """
    kinds: dict[str, Seen] = {}
    why = ""
    for one in found:
        same = kinds.setdefault(_kind(one, platform), one)
        if same.platforms[platform] != one.platforms[platform]:
            why = f"{same.place} and {one.place} have different bytes"
    if old is not None and not anew and kind_of(old) not in kinds:
        digest, places, built = old.digest, list(old.locations), old.about.built
    else:
        first = kinds.get(kind_of(old), found[0]) if old else found[0]
        digest, places, built = first.platforms[platform], [first.place], ""
    places += [one.place for one in found] + [place for one in found for place in one.more]
    places += [filled(text, found[0]) for text in fallbacks if fits(text, found[0])]
    commands = next((one.commands for one in found if one.commands), ())
    built = built or found[0].id.built
    about = facts.about
    if old is not None:
        commands = commands or old.commands
        about = old.about if about == AdoptedAbout() else about
        if old.digest == digest:
            places += old.locations
            built = built or facts.about.built or old.about.built
    about = replace(about, built=built or facts.about.built)
    locations = tuple(dict.fromkeys(places))
    return Adoption(digest=digest, locations=locations, commands=commands, about=about), why


def _kind(one: Seen, platform: Platform) -> str:
    return _kind_at(one.place, one.platforms[platform])


def kind_of(old: Adoption) -> str:
    """Returns whether a digest is that of a ``folder``, a ``file`` or an ``image``."""
    return _kind_at(old.locations[0], old.digest)


def _kind_at(place: str, digest: Digest) -> str:
    if not place.startswith("/"):
        return "image"
    return "folder" if digest.algorithm == "blake3" else "file"


def fits(template: str, one: Seen) -> bool:
    """Whether a build has all that a fallback source names."""
    return all(getattr(one.id, name) for name in _FIELDS if "{" + name + "}" in template)


def filled(template: str, one: Seen) -> str:
    """Returns a fallback source of one build."""
    text = template
    for name in _FIELDS:
        text = text.replace("{" + name + "}", str(getattr(one.id, name)))
    return text


def check_fallback(template: str) -> str:
    """Returns a template; raises InvalidValue (E216) where it names nothing of a release."""
    rest = template
    for name in _FIELDS:
        rest = rest.replace("{" + name + "}", "")
    if rest == template or set(rest) & set("{}") or not template.isprintable() or " " in template:
        raise InvalidValue(
            f"{template[:200]!r} is no fallback source",
            hint="Write an image reference or an address with {name}, {version} and {built} in it.",
            code="E216",
        )
    return template
