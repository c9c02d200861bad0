"""Images that others made, as recipes: of an SHPC registry, a DUCC list, a depot of Galaxy. Pure.

Each becomes a recipe that stands on the image and adds nothing. Its bytes are locked, scanned,
unpacked and wrapped as all others are.

Sources: the JSON Schemas of singularity-hpc 0.1; DUCC's ``recipe.yaml``, version 1; the names of
singularity images in Galaxy's depot, ``NAME:VERSION--BUILD``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ssds.core.errors import InvalidValue
from ssds.core.model import check_name
from ssds.core.records import dataclass, field, replace
from ssds.core.versions import version_key
from ssds.importers.write import UNKNOWN_LICENSE
from ssds.oci.image_name import ImageName, parse_image_name
from ssds.oci.programs import NAME
from ssds.recipe.rules import RESERVED_TAG
from ssds.recipe.written.yaml_text import as_text, yaml_text

FILE_LIMIT_BYTES = 4 * 1024 * 1024
SUMMARY_LIMIT = 300
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~:-]{0,63}")
_PATH = re.compile(r"(?:/[A-Za-z0-9_.+@%=,~:-]+)+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WEB = re.compile(r"https?://[^\s\"'<>]{1,500}")
_DEPOT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*):([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyMade:
    """One image of others, in some versions.

    Attributes:
        name: the recipe's.
        place: ``host/repository``.
        versions: version → the image's full reference, oldest first.
        commands: what it is said to offer; empty where that is found in the image.
        notes: what was said and has no place in a recipe.
    """

    name: str
    place: str
    versions: Mapping[str, str]
    summary: str = ""
    homepage: str = ""
    commands: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    gpu: bool = False
    notes: tuple[str, ...] = ()


def read_shpc(data: bytes, path: str, *, every_version: bool = False) -> ReadyMade:
    """Returns the image of a ``container.yaml``; its newest tag, or all of them.

    Raises:
        InvalidValue: it is no such file, or its image is not one of a registry.
    """
    entry = _document(data, path)
    if not isinstance(entry.get("docker"), str):
        others = [k for k in ("oras", "gh", "path") if k in entry]
        what = f"its image is a SIF file ({others[0]}:)" if others else "it names no image"
        raise InvalidValue(f"{path}: {what}", hint="Only images of a registry become recipes.")
    latest, tags = _texts(entry, "latest"), _texts(entry, "tags")
    chosen = latest or dict(sorted(tags.items(), key=lambda item: version_key(item[0]))[-1:])
    if every_version:
        older = sorted(tags.keys() - chosen.keys(), key=version_key)
        chosen = {tag: tags[tag] for tag in older} | chosen
    name = _image(f"{entry['docker']}:x", path)
    versions = {}
    for tag, digest in chosen.items():
        image = _image(f"{entry['docker']}:{tag}{_pin(digest)}", path)
        versions[_version(image, path)] = str(image)
    if not versions:
        raise InvalidValue(f"{path}: it has no tags", hint="Add one, or leave it out.")
    commands, lost = _aliases(entry.get("aliases"))
    environment = {k: v for k, v in _texts(entry, "env").items() if _VARIABLE.fullmatch(k)}
    features = entry.get("features")
    return ReadyMade(
        name=_recipe_name(name),
        place=name.place,
        versions=versions,
        summary=_line(entry.get("description")),
        homepage=_web(entry.get("url")),
        commands=commands,
        environment=environment,
        gpu=isinstance(features, Mapping) and features.get("gpu") == "true",
        notes=tuple(f"{path}: {text}" for text in lost),
    )


def read_ducc(data: bytes, path: str) -> tuple[list[ReadyMade], list[str]]:
    """Returns the images of a wish list, and what of it cannot be taken, with the reason."""
    entry = _document(data, path)
    lines = entry.get("input")
    if not isinstance(lines, list):
        raise InvalidValue(f"{path} has no list `input:`", hint="Is it a recipe.yaml of DUCC?")
    found: dict[str, dict[str, str]] = {}
    problems = []
    for text in lines:
        try:
            image = _image(str(text).removeprefix("https://").removeprefix("http://"), path)
            version = _version(image, path)
        except InvalidValue as error:
            why = error.message.removeprefix(f"{path}: ")
            why = "a pattern of tags; name them" if "*" in str(text) else why
            problems.append(f"{path}: {str(text)[:200]}: {why}")
            continue
        found.setdefault(image.place, {})[version] = str(image)
    made = [
        ReadyMade(name=_recipe_name(_image(f"{place}:x", path)), place=place, versions=versions)
        for place, versions in found.items()
    ]
    return made, problems


def read_depot(names: Iterable[str], registry: str) -> tuple[list[ReadyMade], list[str]]:
    """Returns the images of a depot's file names, as a registry has them under the same names.

    Args:
        names: paths or names; ``f/a/fastqc:0.11.9--hdfd78af_1`` is the same as without folders.
        registry: ``host/prefix`` of the repositories of these names.
    """
    found: dict[str, dict[str, str]] = {}
    problems = []
    for text in names:
        match = _DEPOT.fullmatch(text.rstrip("/").rpartition("/")[2])
        if match is None:
            problems.append(f"{text[:200]}: it is not NAME:VERSION--BUILD")
            continue
        try:
            image = _image(f"{registry}/{match[1]}:{match[2]}", text)
            found.setdefault(image.place, {})[_version(image, text)] = str(image)
        except InvalidValue as error:
            problems.append(error.message)
    made = [
        ReadyMade(name=_recipe_name(_image(f"{place}:x", place)), place=place, versions=versions)
        for place, versions in found.items()
    ]
    return made, problems


def with_own_names(found: Iterable[ReadyMade]) -> Iterator[ReadyMade]:
    """Gives each its name; where several have one, each is named after its folder too."""
    groups: dict[str, list[ReadyMade]] = {}
    for made in found:
        groups.setdefault(made.name, []).append(made)
    for name, group in sorted(groups.items()):
        for made in sorted(group, key=lambda m: m.place):
            if len(group) == 1:
                yield made
            else:
                parts = made.place.split("/")
                folder = re.sub(r"[^a-z0-9._-]+", "-", "-".join(parts[:-1]).lower())
                yield replace(made, name=check_name(f"{folder}-{name}"[-64:].lstrip("-._")))


def ready_text(made: ReadyMade, header: str) -> str:
    """Returns the recipe's YAML."""
    newest = list(made.versions)[-1]
    whole: dict[str, Any] = {"name": made.name}
    if len(made.versions) == 1:
        whole["version"] = newest
    whole["summary"] = as_text(made.summary or f"{made.name}, an image of others")
    if made.homepage:
        whole["homepage"] = as_text(made.homepage)
    whole["licenses"] = [UNKNOWN_LICENSE]
    if made.gpu:
        whole["hints"] = {"gpu": "any"}
    whole["platforms"] = {"linux/amd64": "required"}
    whole["base"] = {"image": made.versions[newest]}
    if len(made.versions) > 1:
        others = {v: {"base": {"image": image}} for v, image in made.versions.items()}
        whole["versions"] = {**others, newest: {}}
    whole["build"] = []
    deploy: dict[str, Any] = {}
    if made.commands:
        deploy["commands"] = list(made.commands)
    if made.environment:
        deploy["environment"] = {k: as_text(v) for k, v in made.environment.items()}
    if deploy:
        whole["deploy"] = deploy
    return f"{header}{yaml_text(whole)}"


# -- parts ---------------------------------------------------------------------------------------


def _document(data: bytes, path: str) -> Mapping[str, Any]:
    """Returns a YAML map with every scalar as text: tags like 1.10 stay what they are."""
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    if len(data) > FILE_LIMIT_BYTES:
        raise InvalidValue(f"{path} is larger than {FILE_LIMIT_BYTES} bytes")
    try:
        found = yaml.load(data, Loader=loader)  # noqa: S506 - a base loader makes text only
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InvalidValue(f"{path} is not YAML: {reason}") from None
    if not isinstance(found, dict):
        raise InvalidValue(f"{path} is no map")
    return found


def _texts(entry: Mapping[str, Any], key: str) -> dict[str, str]:
    value = entry.get(key)
    pairs = value.items() if isinstance(value, Mapping) else ()
    return {str(k): v for k, v in pairs if isinstance(v, str) and "\0" not in v}


def _image(text: str, path: str) -> ImageName:
    try:
        return parse_image_name(text)
    except InvalidValue as error:
        raise InvalidValue(f"{path}: {error.message}", hint=error.hint) from None


def _pin(digest: str) -> str:
    return f"@{digest}" if digest.startswith("sha256:") else ""


def _version(image: ImageName, path: str) -> str:
    """Returns the tag; where it moves by its name, the digest's first digits."""
    if image.tag and not RESERVED_TAG.fullmatch(image.tag):
        if not _VERSION.fullmatch(image.tag):
            raise InvalidValue(f"{path}: the tag {image.tag[:80]!r} cannot be a version")
        return image.tag
    if image.digest is None:
        raise InvalidValue(
            f"{path}: its tag moves and is no version; name another, or add @sha256:…"
        )
    return image.digest.short


def _recipe_name(image: ImageName) -> str:
    text = image.repository.rpartition("/")[2].lower()
    return check_name(re.sub(r"[^a-z0-9._-]+", "-", text).strip("._-")[:64].strip("._-"))


def _aliases(value: Any) -> tuple[tuple[str, ...], list[str]]:
    """Returns commands as recipes name them, and what of the aliases has no place there."""
    pairs: list[tuple[str, str]] = []
    if isinstance(value, Mapping):
        pairs = [(str(k), v) for k, v in value.items() if isinstance(v, str)]
    elif isinstance(value, list):
        entries = [v for v in value if isinstance(v, Mapping)]
        pairs = [(str(v.get("name")), str(v.get("command"))) for v in entries]
    found: set[str] = set()
    lost = []
    for name, command in pairs:
        plain = command == name or (_PATH.fullmatch(command) and "/../" not in command)
        if NAME.fullmatch(name) and plain and command.rpartition("/")[2] == name:
            found.add(name)
        else:
            lost.append(f"the alias {name[:60]!r} stands for {command[:80]!r}: left out")
    return tuple(sorted(found)), lost


def _line(value: Any) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    printable = "".join(c for c in text if c.isprintable())
    return printable[:SUMMARY_LIMIT].strip()


def _web(value: Any) -> str:
    return value if isinstance(value, str) and _WEB.fullmatch(value) else ""
