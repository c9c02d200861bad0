"""``ssds import``: what a Dockerfile or an Apptainer definition says comes back, or is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from e2e_workspace import Site, check_error

from ssds.core.diagnostics import Collector
from ssds.importers.apptainer import read_definition
from ssds.importers.dockerfile import read_dockerfile
from ssds.importers.dockerwords import instructions
from ssds.importers.model import Imported, Refusals

DOCKERFILE = """\
# syntax=docker/dockerfile:1
ARG RELEASE=24.04
FROM ubuntu:$RELEASE AS only
LABEL org.opencontainers.image.licenses="MIT" \\
      org.opencontainers.image.description="Counts words" \\
      org.example.team=words
ARG PARTS=3
ARG TARGETARCH
ENV HOME_OF=/opt/words PATH="/opt/words/bin:$PATH"
ENV GREETING='costs $5'
RUN mkdir -p /opt/words/bin \\
    # not in the command
    && echo "$PARTS parts for ${TARGETARCH}" > /opt/words/parts
RUN <<EOF
set -e
echo "{{ braces }}" > /opt/words/braces
false; true
EOF
WORKDIR /opt
WORKDIR words
COPY --chmod=755 count.sh bin/count
COPY data/ data/
COPY <<EOF2 /etc/words.conf
home = ${HOME_OF}
EOF2
ADD --checksum=sha256:%s https://example.org/list.txt /opt/words/
USER nobody
ENTRYPOINT ["/opt/words/bin/count", "--all"]
""" % ("0a" * 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "context"
    (place / "data").mkdir(parents=True)
    (place / "Dockerfile").write_text(DOCKERFILE)
    (place / "count.sh").write_text("#!/bin/sh\nwc -w\n")
    (place / "data/a.txt").write_text("a b\n")
    return place


def read(text: str, arguments: dict[str, str] | None = None) -> tuple[Imported, Collector]:
    collector = Collector()
    found = read_dockerfile(
        text,
        "Dockerfile",
        context=lambda name: [name] if name.startswith("there") else [],
        arguments=arguments or {},
        collector=collector,
    )
    return found, collector


def read_stage(stage: str) -> tuple[Imported, Collector]:
    collector = Collector()
    found = read_dockerfile(
        STAGES, "Dockerfile", context=lambda _: [], arguments={"ALSO": "x"},
        collector=collector, stage=stage,
    )  # fmt: skip
    return found, collector


def test_a_dockerfile_becomes_a_recipe_that_says_the_same(plain: Site, folder: Path) -> None:
    ended = plain.good(
        "import", "dockerfile", str(folder / "Dockerfile"), "--name", "words", "--version", "1.0"
    )
    assert "wrote catalog/words/recipe.yaml" in ended.out
    text = (plain.workspace / "catalog/words/recipe.yaml").read_text()
    told = yaml.safe_load(text)
    assert told["base"] == {"image": "ubuntu:24.04"}
    assert (told["summary"], told["licenses"]) == ("Counts words", ["MIT"])
    steps = told["build"]
    assert steps[0] == {"labels": {"org.example.team": "words"}}
    values = {"HOME_OF": "/opt/words", "PATH": "/opt/words/bin:$PATH"}
    assert steps[1] == {"env": values, "expand": True}
    assert steps[2] == {"env": {"GREETING": "costs $5"}}
    first = steps[3]["run"]["script"]
    assert first.startswith("export PARTS=3\nexport TARGETARCH={{ arch }}\nmkdir -p")
    assert "not in the command" not in first
    assert steps[3]["run"]["plain"]
    assert "{{ '{{' }} braces }}" in steps[4]["run"]["script"]
    assert [s["workdir"] for s in steps[5:7]] == ["/opt", "/opt/words"]
    own = {"local": "files/count.sh", "to": "/opt/words/bin/count", "executable": True}
    assert steps[7] == {"copy": own}
    assert steps[8] == {"copy": {"local": "files/data", "to": "/opt/words/data/"}}
    assert steps[9] == {"file": {"path": "/etc/words.conf", "content": "home = /opt/words\n"}}
    assert steps[10] == {"copy": {"source": "list.txt", "to": "/opt/words/"}}
    assert steps[11:] == [{"user": "nobody"}, {"entrypoint": ["/opt/words/bin/count", "--all"]}]
    assert told["deploy"] == {"commands": ["count"]}
    assert "warning" not in plain.good("check", "--strict").text


REFUSED = [
    ("RUN --mount=type=cache,target=/x true", "--mount"),
    ("COPY --from=build /a /b", "copy: {recipe:"),
    ("ENV A=${PATH%/bin}", "${NAME:-else}"),
    ('ENV A "no end', "NAME=VALUE"),
    ("SHELL /bin/bash -c", "Write a list"),
    ("ONBUILD RUN true", "steps"),
    ("ADD https://example.org/x /x", "--checksum"),
    ("ADD there.tar.gz /x", "unpacks archives"),
    ("COPY missing /x", "no such file"),
    ("COPY --chmod=600 there /x", "--chmod=600"),
    ("COPY --chown=1:1 there /x", "--chown"),
    ("WORKDIR $UNKNOWN/x", "not known here"),
    ("ARG TOKEN", "--build-arg TOKEN=VALUE"),
    ('CMD ["x"]', "ENTRYPOINT"),
    ('LABEL "a=b', "NAME=VALUE"),
    ('ENV A="b', "NAME=VALUE"),
    ("USER a b", "A user's name"),
    ("RUN <<EOF\ntrue", "has no end"),
    ("RUNN true", "no place"),
    ("TEXT true", "no place"),
]


@pytest.mark.parametrize(("line", "told"), REFUSED)
def test_what_cannot_be_said_is_refused_at_its_line(line: str, told: str) -> None:
    _, collector = read(f'FROM debian:12\nENTRYPOINT ["a"]\n{line}\n')
    (found,) = list(collector)
    assert (found.code, found.span.line) == ("R122", 3)
    assert told in str(found)


def test_what_changes_no_file_is_left_out_and_told() -> None:
    lines = ["EXPOSE 80", "VOLUME /data", "HEALTHCHECK CMD true", "STOPSIGNAL 9"]
    found, collector = read("\n".join(["FROM debian:12", *lines]))
    assert not list(collector)
    assert not found.build
    told = [f"line {n}, {line.split()[0]} is left out" for n, line in enumerate(lines, 2)]
    assert all(a in b for a, b in zip(told, found.notes, strict=True))


STAGES = """\
ARG OF=1.16
ARG ALSO
FROM --platform=linux/amd64 debian:12 AS tools
ARG OF
ENV TOOL="$OF"
FROM debian:11 AS other
RUN echo other
FROM tools AS app
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN echo "$OF" | cat
FROM APP as test
ARG OF=2
RUN echo "$OF"
"""


def scripts(found: Imported) -> list[str]:
    return [step["run"]["script"] for step in found.build if "run" in step]


def test_a_stage_comes_after_those_that_it_is_built_on() -> None:
    found, collector = read(STAGES, {"ALSO": "x"})
    assert not list(collector)
    assert (found.base, found.build[0]) == ("debian:12", {"env": {"TOOL": "1.16"}})
    bash = '/bin/bash -o pipefail -c \'echo "$OF"'
    assert scripts(found) == [f"{bash} | cat'\n", f"export OF=2\n{bash}'\n"]
    assert "stage test was taken, other left out, as docker build does" in found.notes[0]


def test_a_stage_is_asked_for_by_name_or_number() -> None:
    for stage in ("other", "OTHER", "1"):
        found, collector = read_stage(stage)
        assert (found.base, scripts(found)) == ("debian:11", ["echo other\n"])
        assert "tools, app, test left out" in found.notes[0]
        assert not list(collector)
    _, collector = read_stage("9")
    assert "The stages are tools, other, app, test" in str(next(iter(collector)))


def test_a_build_argument_holds_in_each_stage_that_declares_it() -> None:
    found, _ = read(STAGES, {"OF": "3", "ALSO": "x"})
    assert found.build[0] == {"env": {"TOOL": "3"}}
    assert scripts(found)[1].startswith("export OF=3\n")
    assert not any("no ARG" in note for note in found.notes)


def test_what_biocontainers_and_oci_labels_say_becomes_fields() -> None:
    found, _ = read(
        "FROM debian:12\nMAINTAINER A Person <a@example.org>\n"
        'LABEL about.license="SPDX:MIT" about.home="https://example.org" software.version="1.2"\n'
        'LABEL about.summary="Counts" about.license="SPDX:None" about.tags="x"\n'
    )
    assert found.metadata == {
        "maintainers": [{"name": "A Person <a@example.org>"}],
        "licenses": ["MIT"],
        "homepage": "https://example.org",
        "version": "1.2",
        "summary": "Counts",
    }
    assert found.build == ({"labels": {"about.license": "SPDX:None", "about.tags": "x"}},)


def test_the_old_form_of_env_loses_its_quotes_and_keeps_its_spaces() -> None:
    found, collector = read('FROM debian:12\nENV A "one  two"  three\nENV P "$PATH:/x y"\n')
    assert not list(collector)
    assert found.build == (
        {"env": {"A": "one  two  three"}},
        {"env": {"P": "$PATH:/x y"}, "expand": True},
    )


def test_everything_that_is_refused_is_told_at_once_and_nothing_is_written(plain: Site) -> None:
    path = plain.folder / "Dockerfile"
    path.write_text("FROM debian:12\n" + "".join(f"{line}\n" for line, _ in REFUSED[:10]))
    ended = plain.run("import", "dockerfile", str(path), "--name", "x", "--version", "1")
    check_error(ended, "Dockerfile:2:1", "Dockerfile:11:1", "10 errors")
    assert not (plain.workspace / "catalog/x").exists()


NORMAL = re.compile(r"^(?:export [A-Z_]+=\S*\n)*")


def again(found: Imported) -> str:
    """Writes what was imported as a Dockerfile: by other code than reads it."""
    import json

    lines = [f"FROM {found.base}"]
    for step in found.build:
        match step:
            case {"run": {"script": script}}:
                lines.append(f"RUN {NORMAL.sub('', script).rstrip()}")
            case {"env": values}:
                live = "expand" in step
                quoted = {k: v if live else v.replace("$", "\\$") for k, v in values.items()}
                lines.append("ENV " + " ".join(f"{k}={json.dumps(v)}" for k, v in quoted.items()))
            case {"workdir": path}:
                lines.append(f"WORKDIR {path}")
            case {"user": name}:
                lines.append(f"USER {name}")
            case {"entrypoint": words}:
                lines.append(f"ENTRYPOINT {json.dumps(words)}")
            case {"labels": values}:
                lines.append("LABEL " + " ".join(f"{k}={json.dumps(v)}" for k, v in values.items()))
            case {"copy": {"local": name, "to": to}}:
                lines.append(f"COPY {name.removeprefix('files/')} {to}")
            case other:
                raise AssertionError(other)
    return "\n".join(lines) + "\n"


ROUND = """\
FROM debian:12
ENV A=b C="d e" PATH=/opt/bin:$PATH
RUN apt-get update && apt-get install -y gcc
RUN for i in 1 2; do echo "$i"; done
WORKDIR /work
COPY there there
LABEL a.b="c d" e=f
USER 1000:1000
ENTRYPOINT ["/bin/x", "y z"]
"""


def test_what_was_imported_gives_the_same_instructions_again() -> None:
    first, problems = read(ROUND)
    assert not list(problems)
    text = again(first)
    second, problems = read(text)
    assert not list(problems)
    assert second.build == first.build
    refuse = Refusals("Dockerfile", Collector())
    names = [one.name for one in instructions(ROUND, refuse)]
    assert [one.name for one in instructions(text, refuse)] == names
    assert "RUN apt-get update && apt-get install -y gcc\n" in text


@pytest.mark.component("sandbox")
@pytest.mark.component("apt")
@pytest.mark.component("mmdebstrap")
def test_a_rendered_recipe_has_the_instructions_of_the_dockerfile(site: Site) -> None:
    path = site.folder / "Dockerfile"
    path.write_text(ROUND.replace("COPY there there\n", "").replace("1000:1000", "nobody"))
    words = ("--name", "round", "--version", "1.0", "--base", "debian-12")
    site.good("import", "dockerfile", str(path), *words)
    site.good("lock", "round")
    shown = site.good("render", "round").out
    for text in (
        "apt-get update && apt-get install -y gcc",
        'for i in 1 2; do echo \\"$i\\"; done',
        'ENV A="b"',
        'ENV C="d e"',
        'ENV PATH="/opt/bin:/usr/local/sbin:',
        'WORKDIR "/work"',
        "USER nobody",
        'LABEL a.b="c d"',
        'ENTRYPOINT ["/bin/x", "y z"]',
    ):
        assert text in shown, text


@pytest.mark.parametrize(
    "text",
    ["", "\0", "FROM", "FROM \\", "RUN <<A\n<<B\nA", "ENV ", "COPY", "FROM a\nRUN [1, 2]", "[",
     "FROM a\nENV A=${A:-${B}}\nENV A=\\", "FROM a\nLABEL =", "FROM a\nADD", "\\\n\\\n",
     "FROM $X", "FROM a\nUSER $HOME", "ARG\nFROM a", "FROM a\nARG a=b=c"],
)  # fmt: skip
def test_hostile_text_never_ends_in_a_traceback(text: str) -> None:
    read(text)
    read_definition(text, "x.def", context=lambda _: [], collector=Collector())


DEFINITION = """\
Bootstrap: docker
From: debian:12

%files
    count.sh /opt/words/count

%post
    apt-get update
    apt-get install -y gawk

%environment
    export WORDS=/opt/words
    export PATH="$WORDS:$PATH"

%labels
    Version 2.1
    org.example.team words

%runscript
    exec /opt/words/count "$@"

%test
    test -x /opt/words/count

%help
    Counts words.
"""


def test_an_apptainer_definition_becomes_a_recipe(plain: Site, folder: Path) -> None:
    (folder / "words.def").write_text(DEFINITION)
    plain.good("import", "apptainer", str(folder / "words.def"), "--name", "words")
    told = yaml.safe_load((plain.workspace / "catalog/words/recipe.yaml").read_text())
    assert (told["version"], told["base"]) == ("2.1", {"image": "debian:12"})
    assert told["help"]["description"] == "Counts words.\n"
    copy, run, words, path, labels, file, entry = told["build"]
    count = {"local": "files/count.sh", "to": "/opt/words/count", "merge": True}
    assert copy == {"copy": count}
    assert run["run"]["script"] == "set -e\ncd /\napt-get update\napt-get install -y gawk\n"
    assert (words, path["expand"]) == ({"env": {"WORDS": "/opt/words"}}, True)
    assert labels == {"labels": {"org.example.team": "words"}}
    assert file["file"]["content"] == '#!/bin/sh\nexec /opt/words/count "$@"\n'
    assert entry == {"entrypoint": [file["file"]["path"]]}
    assert told["deploy"] == {"commands": ["count"]}
    assert "test -x /opt/words/count" in told["tests"][0]["run"]
    plain.good("check")


WRONG_DEFINITIONS = [
    ("Bootstrap: localimage\nFrom: x.sif\n", 1),
    ("Bootstrap: docker\nFrom: a\nStage: build\n", 3),
    ("Bootstrap: docker\nFrom: a\n%setup\n", 3),
    ("Bootstrap: docker\nFrom: a\n%post -c /bin/bash\n", 3),
    ("Bootstrap: docker\nFrom: a\n%environment\nif true; then A=b; fi\n", 4),
    ("Bootstrap: docker\nFrom: a\n%environment\nexport A=$(id)\n", 4),
    ("Bootstrap: docker\nFrom: a\n%files\nmissing /x\n", 4),
    ("Bootstrap: docker\nFrom: a\n%files\nx relative\n", 4),
    ("Bootstrap: docker\nFrom: a\n%appinstall x\n", 3),
    ("Bootstrap: docker\n", 1),
]


@pytest.mark.parametrize(("text", "line"), WRONG_DEFINITIONS)
def test_what_a_definition_cannot_give_is_refused_at_its_line(text: str, line: int) -> None:
    collector = Collector()
    read_definition(text, "x.def", context=lambda _: [], collector=collector)
    assert [(d.code, d.span.line) for d in collector] == [("R122", line)]


def test_words_nested_without_end_are_no_words() -> None:
    refuse = Refusals("Dockerfile", Collector())
    (one,) = instructions("RUN " + "[" * 200_000 + "\n", refuse)
    assert one.listed is None


def test_a_variable_of_the_image_hides_an_argument_of_that_name() -> None:
    found, _ = read('FROM debian:12\nARG X=1\nENV X=$PATH/a\nRUN echo $X\nENTRYPOINT ["a"]\n')
    scripts = [step["run"]["script"] for step in found.build if "run" in step]
    assert [script.strip() for script in scripts] == ["echo $X"]


def test_folders_and_absolute_paths_of_a_definition_are_copied_as_cp_does(
    plain: Site, folder: Path
) -> None:
    (folder / "more/deep").mkdir(parents=True)
    (folder / "more/deep/a.txt").write_text("a")
    text = f"""\
Bootstrap: docker
From: debian:12
%files
more/deep/a.txt /srv/
more /opt/more
more /opt/tools/
more /opt
{folder}/more/deep/a.txt
{folder}/more/deep/a.txt /etc
count.sh /usr/local/bin/
"""
    (folder / "more.def").write_text(text)
    options = ("--name", "more", "--version", "1")
    ended = plain.good("import", "apptainer", str(folder / "more.def"), *options)
    assert "note: %files: /opt/more becomes a copy of more" in ended.err
    told = yaml.safe_load((plain.workspace / "catalog/more/recipe.yaml").read_text())
    file = "files/more/deep/a.txt"
    assert [step["copy"] for step in told["build"]] == [
        {"local": file, "to": "/srv/"},
        {"local": "files/more", "to": "/opt/more"},
        {"local": "files/more", "to": "/opt/tools/more"},
        {"local": "files/more", "to": "/opt/more"},
        {"local": file, "to": f"{folder}/more/deep/a.txt", "merge": True},
        {"local": file, "to": "/etc/"},
        {"local": "files/count.sh", "to": "/usr/local/bin/"},
    ]
    assert (plain.workspace / "catalog/more" / file).read_text() == "a"
    plain.good("check")


def test_what_lies_outside_of_a_definitions_folder_or_is_a_link_is_refused_by_line(
    plain: Site, folder: Path
) -> None:
    (folder / "linked").mkdir()
    (folder / "linked/passwd").symlink_to("/etc/passwd")
    (folder / "count").symlink_to("count.sh")
    lines = ("/etc/passwd /x", "../secret /x", f"{folder}/../x /x", "linked /x", "count /x", ". /x")
    (folder / "bad.def").write_text(
        "Bootstrap: docker\nFrom: debian:12\n%files\n" + "\n".join(lines) + "\n"
    )
    options = ("--name", "bad", "--version", "1")
    ended = plain.run("import", "apptainer", str(folder / "bad.def"), *options)
    assert ended.code != 0
    assert [int(n) for n in re.findall(r"bad\.def:(\d+):", ended.err)] == [4, 5, 6, 7, 8, 9]
    assert not (plain.workspace / "catalog/bad").exists()


ARGUED = """\
Bootstrap: docker
From: debian:{{ RELEASE }}

%arguments
    RELEASE="12"
    TOOL=bwa

%startscript
    serve

%labels
    Maintainer=A Person
    tool {{TOOL}}

%environment
    export LIBRARY_PATH=  # the host's modules set it
    export TOOL='{{ TOOL }} #1'
    unset MANPATH
"""


def argued(text: str = ARGUED, **arguments: str) -> tuple[Imported, Collector]:
    collector = Collector()
    found = read_definition(
        text, "x.def", context=lambda _: [], collector=collector, arguments=arguments
    )
    return found, collector


def test_a_definitions_arguments_have_their_defaults_or_what_is_given() -> None:
    found, collector = argued()
    assert not list(collector)
    assert found.base == "debian:12"
    assert found.build == (
        {"env": {"LIBRARY_PATH": ""}},
        {"env": {"TOOL": "bwa #1"}},
        {"labels": {"Maintainer": "A Person", "tool": "bwa"}},
    )
    assert found.notes == (
        "line 8, %startscript is left out: ssds starts no services",
        "line 18: MANPATH stays as the base and the caller set it",
    )
    found, _ = argued(RELEASE="11", NONE="x")
    assert found.base == "debian:11"
    assert found.notes[0] == "no {{ NAME }} is NONE"


def test_arguments_without_a_value_and_variables_set_and_unset_are_refused() -> None:
    _, collector = argued(f"{ARGUED}    unset TOOL\n    export X={{{{ Y }}}}\n")
    first, second = collector
    assert (first.span.line, "It is set above" in str(first)) == (19, True)
    assert (second.span.line, "--build-arg Y=VALUE" in str(second)) == (20, True)


@pytest.mark.parametrize(
    "line",
    ["A=" + " " * 50_000 + "x y", "unset a" + " " * 50_000 + "!", "A='" + " #" * 50_000,
     "A=1 " + "# " * 50_000, ";", " ; # none"],
    ids=["spaces", "unset", "comments", "comment", "semicolon", "nothing"],
)  # fmt: skip
def test_a_long_line_of_a_definition_is_read_once(line: str) -> None:
    argued(f"{ARGUED}{line}\n%labels\n a{' ' * 50_000}=\n")


def test_many_stages_on_one_another_are_followed() -> None:
    text = "FROM debian:12 AS s0\n" + "".join(f"FROM s{n} AS s{n + 1}\n" for n in range(3000))
    found, collector = read(text)
    assert (found.base, len(collector)) == ("debian:12", 0)
