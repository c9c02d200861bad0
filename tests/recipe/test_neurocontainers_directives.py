"""Each row of the grammar of NeuroDesk's recipes becomes the instruction that its authors know."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from neurocontainers_checkout import (
    ARM64,
    BUILD,
    HEAD,
    NAME,
    instructions,
    read,
    recipe,
    target,
    write_checkout,
)

from ssds.core.model import ReleaseName
from ssds.recipe.steps import CopyStep, EnvStep, RunStep
from ssds.render.plain import plain_dockerfile

SINGLE = [
    ("- install: zlib1g curl", ("RUN apt-get update -qq && apt-get install -y -q "
     "--no-install-recommends curl zlib1g && rm -rf /var/lib/apt/lists/*")),
    ("- install: [b, a]", ("RUN apt-get update -qq && apt-get install -y -q "
     "--no-install-recommends a b && rm -rf /var/lib/apt/lists/*")),
    ("- run: [cd /opt, make]", "RUN cd /opt && make"),
    ("- run: make {{ context.version }}", "RUN make 1.0"),
    ('- run: [make, "", null, 3]', "RUN make && 3"),
    ("- run:\n    - |\n      a\n      b", "RUN a && b"),
    ("- run:\n    - |\n      a \\\n        b\n      # why\n      c", "RUN a b && c"),
    ("- run:\n    - |\n      x\n      if a\n      then b\n      fi", "RUN x && if a then b fi"),
    ("- run: ['find .', '|| true']", "RUN find . && || true"),
    ("- environment: {A: 1, B: 'x y'}", 'ENV A="1" ENV B="x y"'),
    ("- environment: {PATH: '/opt/bin:$PATH'}", 'ENV PATH="/opt/bin:$PATH"'),
    ("- workdir: /opt/{{ context.name }}", "WORKDIR /opt/small"),
    ("- entrypoint: bash", 'ENTRYPOINT ["bash"]'),
    ("- user: root", "USER root"),
    ("- user: neuro", ('RUN test "$(getent passwd neuro)" || useradd --no-user-group '
     "--create-home --shell /bin/bash neuro USER neuro")),
    ("- variables: {a: x, b: '{{ a }}y'}\n- run: ['echo {{ b }} {{ context.b }} {{ local.a }}']",
     "RUN echo xy xy x"),
    ("- run: ['make -j {{ parallel_jobs }} {{ context.parallel_jobs }}']", "RUN make -j 4 4"),
    ("- run: [a]\n  condition: arch == 'x86_64'", "RUN a"),
    ("- run: [a]\n  condition: arch == 'aarch64'", ""),
    ("- run: [a]\n  condition: \"'True'\"", "RUN a"),
    ("- run: [a]\n  condition: 1", ""),
    ("- run: [a]\n  condition: has_local('x')", ""),
    ("- run: ['echo {% raw %}{{ x }}{% endraw %}']", "RUN echo {{ x }}"),
    (("- group:\n    - run: ['{{ a }}']\n    - variables: {a: 3}\n    - run: ['{{ a }}']\n"
     "  with: {a: 2}"), "RUN 2 RUN 2"),
    ("- group:\n    - variables: {a: 3}\n- run: ['{{ a }}']", "RUN 3"),
    ("- variables: {flavour: sour}\n- include: macros/flavours/base.yaml",
     "WORKDIR /opt/macro RUN echo sour"),
    ("- include: macros/flavours/base.yaml", ("WORKDIR /opt/macro RUN echo plain RUN apt-get "
     "update -qq && apt-get install -y -q --no-install-recommends late && rm -rf "
     "/var/lib/apt/lists/*")),
    ("- test: {name: t, script: x}", ""),
    ("- deploy: {bins: [a]}", ""),
    ("- boutique: {name: small, x: 1}",
     'RUN mkdir -p /boutique COPY ["steps/4/copy/small.json", "/boutique/small.json"]'),
]  # fmt: skip


@pytest.mark.parametrize(("directives", "wanted"), SINGLE)
def test_a_directive_becomes_its_instruction(tmp_path: Path, directives: str, wanted: str) -> None:
    checkout = write_checkout(tmp_path / "checkout", recipe(directives))
    assert " ".join(instructions(checkout)) == wanted


def test_a_template_gives_environment_commands_and_packages_in_two_passes(tmp_path: Path) -> None:
    text = recipe("- template: {name: tool, version: '2.0', extra: a b}")
    found = instructions(write_checkout(tmp_path / "checkout", text))
    assert found[0] == 'ENV TOOL_HOME="/opt/tool-2.0" PATH="/opt/tool-2.0/bin:$PATH"'
    assert found[1].startswith("RUN apt-get update -qq && apt-get install -y -q")
    assert "https://example.org/b.deb" in found[1]
    assert found[1].endswith(
        "curl -fsSL https://example.org/tool-2.0-x86_64.tar.gz | tar -xz -C /opt/tool-2.0 "
        "&& tool add a b && echo done"
    )
    assert found[2].endswith("tool-doc && rm -rf /var/lib/apt/lists/*")


def test_a_template_has_methods(tmp_path: Path) -> None:
    text = recipe("- template: {name: tool, method: source, version: 3}")
    found = instructions(write_checkout(tmp_path / "checkout", text))
    assert found == ['ENV BUILT="yes"', "RUN make 3"]


def an_older_checkout(folder: Path, template: str) -> Path:
    """Returns a checkout of the days when their builder had neurodocker's templates."""
    checkout = write_checkout(folder / "checkout", recipe(f"- template: {template}"))
    shutil.rmtree(checkout / "builder")
    return checkout


def test_a_checkout_older_than_its_own_templates_has_those_of_neurodocker(tmp_path: Path) -> None:
    found = instructions(an_older_checkout(tmp_path, "{name: jq, version: '1.7.1'}"))
    assert found[0].startswith("RUN apt-get update -qq && apt-get install -y -q")
    assert "https://github.com/jqlang/jq/releases/download/jq-1.7.1/jq-linux64" in found[0]


def test_without_neurodocker_such_a_checkout_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "site-packages" not in p])
    checkout = an_older_checkout(tmp_path, "{name: jq, version: '1.7.1'}")
    (found,) = read(checkout).collector
    assert found.code == "N026"
    assert "pip install 'ssds[generators]'" in dict(found.facts)["reason"]


def test_files_are_mounted_where_a_run_asks_for_them(tmp_path: Path) -> None:
    text = recipe(
        """\
        - file: {name: a, url: 'https://example.org/d/archive-{{ context.version }}.tar.gz'}
        - file: {name: b, url: 'https://example.org/e/archive-1.0.tar.gz'}
        - file: {name: c.ini, contents: "version={{ context.version }}", executable: true}
        - file: {name: d, filename: beside.sh}
        - run: ["tar -xf {{ get_file('a') }} {{ get_file('b') }}", "{{ get_file('c.ini') }}"]
        - run: ['sh {{ context.get_file("d") }}']
        - copy: [c.ini, /etc/]
        - copy: d /usr/bin/run
        """
    )
    checkout = write_checkout(tmp_path / "checkout", text, files={"beside.sh": "true\n"})
    found = target(checkout)
    first, second = [s for s in found.steps if isinstance(s, RunStep) and s.files]
    names = [file.name for file in first.files]
    assert names[0] == "archive-1.0.tar.gz"
    assert names[2] == "c.ini"
    assert names[1].startswith("archive-1.0.tar_")
    assert names[1].endswith(".gz")
    assert first.script.split(" && ")[0].rstrip() == (
        f"tar -xf /run/ssds/files/{names[0]} /run/ssds/files/{names[1]}"
    )
    assert first.files[2].content == "version=1.0"
    assert first.files[2].executable
    local = second.files[0].local
    assert local is not None
    assert local.path.endswith("/recipes/small/beside.sh")
    assert found.sources["a"].url == "https://example.org/d/archive-1.0.tar.gz"
    assert found.sources["a"].sha256 is None
    copies = [s for s in found.steps if isinstance(s, CopyStep)]
    assert [(c.file.name, c.to) for c in copies if c.file] == [
        ("c.ini", "/etc/"),
        ("d", "/usr/bin/run"),
    ]


def test_declared_files_have_conditions_and_only_used_ones_are_sources(tmp_path: Path) -> None:
    text = HEAD + (
        "files:\n"
        "  - {name: unused, url: 'https://example.org/x'}\n"
        "  - {name: f, url: 'https://example.org/amd', condition: arch == 'x86_64'}\n"
        "  - {name: f, url: 'https://example.org/arm', condition: arch == 'aarch64'}\n"
    )
    checkout = write_checkout(
        tmp_path / "checkout", recipe("- run: [\"use {{ get_file('f') }}\"]", head=text)
    )
    assert [s.url for s in target(checkout).sources.values()] == ["https://example.org/amd"]
    arm = target(checkout, platform=ARM64).sources
    assert [s.url for s in arm.values()] == ["https://example.org/arm"]


def test_a_copied_folder_is_beside_the_recipe(tmp_path: Path) -> None:
    files = {"conf/a/x": "1", "conf/y": "2"}
    checkout = write_checkout(
        tmp_path / "checkout", recipe("- copy: [conf, /opt/conf]"), files=files
    )
    (step,) = [s for s in target(checkout).steps if isinstance(s, CopyStep)]
    assert step.local is not None
    assert [e.path for e in step.local.entries if e.digest] == ["a/x", "y"]


def test_variables_are_evaluated_in_order_and_try_decides_by_architecture(tmp_path: Path) -> None:
    head = HEAD + (
        "variables:\n"
        "  stem: tool-{{ context.version }}\n"
        "  machine:\n"
        "    try:\n"
        "      - {value: '{{ stem }}-amd', condition: arch == 'x86_64'}\n"
        "      - {value: '{{ stem }}-arm', condition: arch == 'aarch64'}\n"
    )
    checkout = write_checkout(
        tmp_path / "checkout", recipe("- run: ['get {{ machine }}']", head=head)
    )
    assert instructions(checkout) == ["RUN get tool-1.0-amd"]
    assert instructions(checkout, platform=ARM64) == ["RUN get tool-1.0-arm"]


def test_an_architecture_is_a_platform_of_one_release_and_its_old_name_an_alias(
    tmp_path: Path,
) -> None:
    checkout = write_checkout(tmp_path / "checkout", recipe("- run: ['{{ context.name }} x']"))
    (release,) = read(checkout).catalog.releases.values()
    assert [(str(p), t.required) for p, t in release.targets.items()] == [
        ("linux/amd64", True),
        ("linux/arm64", False),
    ]
    assert release.metadata["aliases"] == ["small_arm64"]
    assert instructions(checkout, platform=ARM64) == ["RUN small_arm64 x"]


def test_an_option_marks_a_version_of_its_own_and_a_variant_sets_options(tmp_path: Path) -> None:
    head = HEAD + (
        "options:\n"
        "  course: {description: d, default: false, version_suffix: .course}\n"
        "  gpu: {description: d, default: false}\n"
        "variants:\n"
        "  9gpu_x: {architecture: x86_64, options: {gpu: true}}\n"
    )
    text = recipe(
        "- run: ['echo {{ context.version }} {{ context.original_version }} {{ context.variant }}"
        " {{ context.options.gpu }}']\n"
        "- run: [course]\n  condition: context.options.course",
        head=head,
    )
    checkout = write_checkout(tmp_path / "checkout", text)
    course = ReleaseName("small", "1.0.course")
    variant = ReleaseName("small", "1.0", "v9gpu-x")
    assert set(read(checkout).catalog.releases) == {NAME, course, variant}
    assert instructions(checkout) == ["RUN echo 1.0 1.0 False"]
    assert instructions(checkout, course) == ["RUN echo 1.0.course 1.0 False", "RUN course"]
    assert instructions(checkout, variant) == ["RUN echo 1.0 1.0 9gpu_x True"]


def test_a_version_that_tags_reserve_gets_a_zero_at_its_end(tmp_path: Path) -> None:
    text = recipe("- run: ['echo {{ context.version }}']", head=HEAD.replace('"1.0"', "latest"))
    checkout = write_checkout(tmp_path / "checkout", text)
    assert instructions(checkout, ReleaseName("small", "latest.0")) == ["RUN echo latest"]


def test_what_is_offered_is_gathered_from_directives_first(tmp_path: Path) -> None:
    text = recipe(
        "- deploy: {bins: [a, a]}\n- deploy: {bins: ['{{ context.name }}']}\n"
        "- environment: {DEPLOY_ENV_HOME: BASEPATH/opt}",
        tail="\ndeploy: {bins: [ignored], path: [/opt/bin]}\n",
    )
    found = target(write_checkout(tmp_path / "checkout", text))
    assert found.deploy.commands == ("a", "small")
    assert found.deploy.paths == ("/opt/bin",)
    assert found.deploy.environment == {"HOME": "{{ root }}/opt"}
    values = {k: v for s in found.steps if isinstance(s, EnvStep) for k, v in s.values.items()}
    assert (values["DEPLOY_PATH"], values["DEPLOY_BINS"]) == ("/opt/bin", "a:a:small")


def test_every_image_gets_locales_mount_points_time_zone_and_start_script(tmp_path: Path) -> None:
    plain = BUILD.replace("  add-default-template: false\n", "")
    checkout = write_checkout(tmp_path / "checkout", recipe("- run: [x]", build=plain))
    text = plain_dockerfile(target(checkout), "base")
    assert 'ENV LANG="en_US.UTF-8" LC_ALL="en_US.UTF-8"' in text
    assert "dpkg-reconfigure --frontend=noninteractive locales" in text
    assert 'ENV TZ="UTC"' in text
    assert "/neurodesktop-storage" in text
    assert text.splitlines()[-1] == 'ENTRYPOINT ["/neurodocker/startup.sh"]'


def test_yum_has_its_own_commands_and_locale_definitions_can_be_left_out(tmp_path: Path) -> None:
    build = BUILD.replace("apt", "yum").replace("add-default-template: false", "{}")
    text = recipe("- install: [b, a]", build=build.format("fix-locale-def: true"))
    checkout = write_checkout(tmp_path / "checkout", text)
    assert instructions(checkout) == [
        "RUN yum install -y -q a b && yum clean all && rm -rf /var/cache/yum/*"
    ]
    whole = plain_dockerfile(target(checkout), "base")
    assert "localedef" not in whole
    assert "vault" in whole
    assert "tzdata" not in whole


def test_the_base_is_an_image_in_full_and_named_once(tmp_path: Path) -> None:
    checkout = write_checkout(tmp_path / "checkout", recipe("- run: [x]"))
    assert target(checkout).base == "docker.io/library/debian:12"
    bases = read(checkout).catalog.bases
    assert [base.image for base in bases.values()] == ["docker.io/library/debian:12"]


def test_nothing_that_describes_is_lost(tmp_path: Path) -> None:
    head = HEAD.replace("readme: A small tool.\n", "") + (
        "readme: 'Tool {{ context.version }}'\n"
        "structured_readme: {description: What it does, example: x, citation: c}\n"
        "gui_apps: [{name: 'Tool {{ context.version }}', exec: tool}]\n"
        "apptainer_args: [--nv]\n"
        "show_in_menu: true\n"
        "auto_update: {method: github_release, repo: a/b}\n"
        "epoch: 3\n"
        "draft: false\n"
    )
    checkout = write_checkout(tmp_path / "checkout", recipe("- run: [x]", head=head))
    metadata = read(checkout).catalog.releases[NAME].metadata
    assert metadata["summary"] == "What it does"
    assert metadata["help"] == {"description": "Tool 1.0"}
    assert metadata["description"] == "What it does"
    assert metadata["licenses"] == ["MIT"]
    assert metadata["categories"] == ["programming"]
    assert metadata["gui"] == [{"name": "Tool 1.0", "command": "tool"}]
    assert metadata["runtime"] == {"arguments": ["--nv"]}
    assert metadata["menu"] == {"show": True}
    extra = metadata["extra"]
    assert isinstance(extra, dict)
    rest = extra["neurocontainers"]
    assert isinstance(rest, dict)
    assert rest["epoch"] == 3
    assert rest.keys() == {
        "icon",
        "copyright",
        "auto_update",
        "draft",
        "epoch",
        "structured_readme",
    }


def test_a_readme_beside_the_recipe_is_rendered_too(tmp_path: Path) -> None:
    head = HEAD.replace("readme: A small tool.\n", "")
    files = {"README.md": "# {{ context.name }}\n"}
    checkout = write_checkout(tmp_path / "checkout", recipe("- run: [x]", head=head), files=files)
    assert read(checkout).catalog.releases[NAME].metadata["help"] == {"description": "# small"}
