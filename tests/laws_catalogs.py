"""Random small catalogs on disk, for laws; whoever gives the ``random.Random`` gives the catalog.

With ``hypothesis.strategies.randoms(use_true_random=False)`` every choice shrinks; with
``random.Random(seed)`` the same seed gives the same catalog.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

import yaml

AMD64, ARM64 = "linux/amd64", "linux/arm64"
NAMES = ("ants", "bwa", "cat12", "dcm", "elastix", "fsl", "gnina", "hmmer")
SCRIPTS = ("true", "make", "make install  # as ever", "echo {{ name }} > /etc/{{ name }}")
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "žluť", "ラベル")
SETTINGS = "store: {path: ../store}\njobs: 1\n"
SET_PATH = "catalog/advisories/set.json"
Recipe = dict[str, Any]


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(path: Path, value: object) -> None:
    """Writes YAML (JSON for ``.json``), making folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        text = json.dumps(value, ensure_ascii=False, indent=1)
    else:
        text = yaml.dump(value, Dumper=_NoAliases, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def load(path: Path) -> Any:
    """Returns what ``dump`` wrote, or None for a file that is broken or missing."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return None


def source_content(name: str) -> bytes:
    """Returns the bytes behind a source's url, so that its sha256 is a true one."""
    return f"the source {name}\n".encode()


def advisory_set(date: str, *packages: str) -> dict[str, Any]:
    """Returns a set of OSV records, one for each package, of unknown severity."""
    records = [
        {
            "id": f"CVE-2023-{1000 + number}",
            "modified": date,
            "affected": [
                {
                    "package": {"ecosystem": "Debian:12", "name": name},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
                }
            ],
        }
        for number, name in enumerate(packages)
    ]
    return {"name": "set", "date": date, "ecosystems": ["Debian:12"], "records": records}


def write_shared(root: Path) -> None:
    """Writes settings and everything that recipes share."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "ssds.yaml").write_text(SETTINGS, encoding="utf-8")
    (root / "lockfiles").mkdir(exist_ok=True)
    catalog = root / "catalog"
    dump(
        catalog / "bases.yaml",
        {
            "deb": {"suite": "bookworm", "platforms": [AMD64, ARM64], "advisories": "set"},
            "slim": {"suite": "bookworm", "platforms": [AMD64], "include": ["zlib1g"]},
        },
    )
    dump(
        catalog / "policies.yaml",
        {
            "default": {"fail_on": [], "unscanned": "pass"},
            "strict": {"fail_on": ["critical"], "unscanned": "pass", "allow_network": False},
        },
    )
    dump(catalog / "channels.yaml", {"local": {"kind": "layout", "location": "dist"}})
    dump(catalog / "advisories.yaml", {"set": SET_PATH})
    dump(root / SET_PATH, advisory_set("2023-05-01", "dash"))
    dump(catalog / "sites/lab.yaml", {"title": "Lab", "platforms": [AMD64], "binds": ["/data"]})


def write_files(folder: Path, random: Random) -> None:
    """Writes local files, folders and links beside a recipe."""
    (folder / "files/deep/er").mkdir(parents=True, exist_ok=True)
    (folder / "files/empty").mkdir(exist_ok=True)
    (folder / "files/plain.txt").write_text(f"plain {random.choice(WORDS)}\n", encoding="utf-8")
    (folder / "files/deep/er/data").write_bytes(b"0123456789")
    (folder / "files/žluť.txt").write_text("a name that is not ASCII\n")
    tool = folder / "files/tool.sh"
    tool.write_text("#!/bin/sh\necho tool\n")
    tool.chmod(0o755)
    link = folder / "files/link"
    # A recipe with links is read at every plan, so most have none.
    if random.choice((True, False, False, False)) and not link.is_symlink():
        link.symlink_to("plain.txt")
    (folder / "one.conf").write_text("a = 1\n")
    (folder / "icon.svg").write_text("<svg/>")


def a_source(name: str, random: Random) -> dict[str, Any]:
    """Returns a source with a digest or one that the resolver pins; sometimes conditional."""
    if random.random() < 0.5:
        digest = hashlib.sha256(source_content(name)).hexdigest()
        asked: dict[str, Any] = {"url": f"https://example.org/{name}.tar", "sha256": digest}
        if random.random() < 0.3:
            asked["mirrors"] = [f"https://mirror.example.org/{name}.tar"]
    else:
        asked = {"deb-src": f"{name}/1.0-{random.randint(1, 3)}"}
    if random.random() < 0.2:
        asked["unpack"] = True
    return asked


def a_step(
    name: str,
    sources: list[str],
    earlier: dict[str, list[str]],
    platforms: list[str],
    random: Random,
) -> Any:
    """Returns one build step, of any type that needs no network."""
    choice = random.randrange(9)
    if choice == 0:
        return {"file": {"path": f"/etc/{name}.conf", "content": random.choice(WORDS)}}
    if choice == 1:
        return {"env": {"WORD": random.choice(WORDS), "N": random.randint(0, 9)}}
    if choice == 2:
        return {"copy": {"local": random.choice(("files", "one.conf", "files/deep")), "to": "/o/"}}
    if choice == 3:
        return {"apt": random.sample(["zlib1g", "libbz2-1.0", "perl-base"], 2)}
    if choice == 4 and sources:
        return {"copy": {"source": random.choice(sources), "to": "/opt/"}}
    if choice == 5 and earlier:
        other = random.choice(sorted(earlier))
        paths = [f"/usr/bin/{other}"]
        ref = {"recipe": other, "version": a_range(earlier[other], random), "paths": paths}
        return {"copy": {**ref, "to": "/usr/bin/"}}
    if choice == 6:
        return {"labels": {"org.example.word": random.choice(WORDS)}}
    run: dict[str, Any] = {"script": random.choice(SCRIPTS)}
    if sources and random.random() < 0.5:
        run["sources"] = [random.choice(sources)]
    if random.random() < 0.2:
        run["tools"] = ["gcc"]
    step: dict[str, Any] = {"run": run}
    if random.random() < 0.2:
        step["when"] = {"platform": random.choice(platforms)}
    return step


def a_range(versions: list[str], random: Random) -> str:
    """Returns a version, or a range that some version answers."""
    lowest = min(versions, key=float)
    return random.choice([random.choice(versions), f">={lowest}", f">={lowest},<99"])


def a_test(number: int, sources: list[str], random: Random) -> Recipe:
    """Returns a test; ``false`` in its script fails in the model of the engine."""
    test: Recipe = {"name": f"t{number}", "run": f"echo {random.choice(WORDS)}", "stdout": ["x"]}
    if sources and random.random() < 0.3:
        test["sources"] = [random.choice(sources)]
    if random.random() < 0.2:
        test["environment"] = {"WORD": random.choice(WORDS)}
    if random.random() < 0.1:
        test["run"] = "false"
    return test


def a_waiver(number: int, random: Random) -> dict[str, str]:
    """Returns a waiver that some as-of date lets expire."""
    until = random.choice(["2020-01-01", "2030-06-30", "2031-12-31"])
    return {
        "id": f"CVE-2023-{1000 + number}",
        "package": "dash",
        "reason": "not reached",
        "owner": random.choice(WORDS[:3]),
        "until": until,
    }


def a_recipe(name: str, earlier: dict[str, list[str]], random: Random) -> Recipe:
    """Returns a recipe's document.

    Args:
        name: its name.
        earlier: recipes that it may build on or copy from, with their versions.
        random: gives every choice.
    """
    two = random.random() < 0.4
    recipe: Recipe = {"name": name}
    if two:
        recipe["versions"] = {"1.0": {}, "2.0": {"deploy": {"environment": {"SECOND": "yes"}}}}
    else:
        recipe["version"] = "1.0"
    if random.random() < 0.2:
        recipe["variants"] = {"default": {}, "mpi": {"description": "with MPI"}}
    recipe |= {"summary": f"{name} {random.choice(WORDS)}", "licenses": ["MIT"]}
    both = {AMD64: "required", ARM64: random.choice(("required", "optional"))}
    lowest: str | dict[str, str] = "deb"
    recipe["platforms"] = random.choice([both, {AMD64: "required"}])
    if earlier and random.random() < 0.4:
        other = random.choice(sorted(earlier))
        lowest = {"recipe": other, "version": a_range(earlier[other], random)}
        recipe["platforms"] = {AMD64: "required"}
    elif ARM64 not in recipe["platforms"] and random.random() < 0.3:
        lowest = "slim"
    recipe["base"] = lowest
    sources = [f"{name}-{i}" for i in range(random.randint(0, 2))]
    if sources:
        recipe["sources"] = {s: a_source(s, random) for s in sources}
    reachable = earlier if ARM64 not in recipe["platforms"] else {}
    platforms, count = list(recipe["platforms"]), random.randint(0, 4)
    recipe["build"] = [a_step(name, sources, reachable, platforms, random) for _ in range(count)]
    recipe["deploy"] = {"commands": [name]}
    recipe["tests"] = [a_test(i, sources, random) for i in range(random.randint(0, 2))]
    if not recipe["tests"]:
        del recipe["tests"]
    if random.random() < 0.3:
        waivers = [a_waiver(n, random) for n in range(random.randint(0, 2))]
        recipe["scan"] = {"policy": "strict", "waivers": waivers}
    if random.random() < 0.3:
        recipe["icon"] = "icon.svg"
    if random.random() < 0.3:
        recipe["publish"] = ["local"]
    return recipe


def versions_of(recipe: Recipe) -> list[str]:
    """Returns a recipe document's versions."""
    return list(recipe.get("versions", [])) or [recipe["version"]]


def write_recipe(root: Path, recipe: Recipe, random: Random) -> None:
    """Writes a recipe and the files beside it."""
    folder = root / "catalog" / recipe["name"]
    folder.mkdir(parents=True, exist_ok=True)
    write_files(folder, random)
    dump(folder / "recipe.yaml", recipe)


def write_catalog(root: Path, random: Random, *, size: int = 4) -> None:
    """Writes a whole valid workspace with at most ``size`` recipes; later ones use earlier ones."""
    write_shared(root)
    earlier: dict[str, list[str]] = {}
    for name in NAMES[: random.randint(1, size)]:
        recipe = a_recipe(name, earlier, random)
        write_recipe(root, recipe, random)
        if "variants" not in recipe:
            earlier[name] = versions_of(recipe)
