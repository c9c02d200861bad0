"""``neurodocker`` steps are written out while a recipe is read: what comes, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from generator_steps import problems, steps

from ssds.recipe.generators.model import Request
from ssds.recipe.generators.neurodocker import expand, template, templates, versions
from ssds.recipe.steps import AptStep, EnvStep, RunStep

SOURCE = """
sources:
  program: {url: "https://example.org/dl/jq-linux64", sha256: "%s"}
""" % ("0a" * 32)


def test_a_template_becomes_variables_packages_and_a_script(tmp_path: Path) -> None:
    own = "{template: convert3d, version: 1.0.0, args: {install_path: /opt/c3d}}"
    env, apt, run = steps(tmp_path, f"- neurodocker: {own}")
    assert isinstance(env, EnvStep)
    assert env.values == {"C3DPATH": "/opt/c3d", "PATH": "/opt/c3d/bin:$PATH"}
    assert env.expand
    assert isinstance(apt, AptStep)
    assert apt.packages == ("ca-certificates", "curl")
    assert isinstance(run, RunStep)
    assert "https://" in run.script
    assert "{" not in run.script
    assert run.network
    assert {s.address for s in (env, apt, run)} == {"build[0].neurodocker"}


def test_a_source_stands_in_for_the_address_and_no_network_is_needed(tmp_path: Path) -> None:
    own = '{template: jq, version: "1.7", source: program}'
    run = steps(tmp_path, f"- neurodocker: {own}", SOURCE)[-1]
    assert isinstance(run, RunStep)
    assert "file:///run/ssds/sources/program/jq-linux64" in run.script
    assert "https://" not in run.script
    assert run.sources == ("program",)
    assert not run.network


def test_the_platform_is_the_one_that_is_asked_for(tmp_path: Path) -> None:
    own = "- neurodocker: {template: miniconda, version: py311_24.1.2-0}"
    for platform, machine in (("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")):
        run = steps(tmp_path / machine, own, platform=platform)[-1]
        assert isinstance(run, RunStep)
        assert f"-Linux-{machine}.sh" in run.script


WRONG = [
    ("{template: dcm2nix, version: '1'}", "R111", 'Did you mean "dcm2niix"?'),
    ("{template: ants, version: 2.4.3, method: sources}", "R112", 'mean "source"'),
    ("{template: convert3d, version: 1.0.1}", "R113", 'Did you mean "1.0.0"?'),
    ("{template: jq, version: '1.7', args: {instal_path: /x}}", "R114", "unknown argument"),
    ("{template: convert3d}", "R115", "version"),
    ("{template: convert3d, version: 1.0.0, args: {install_path: '/opt/$(reboot)'}}", "R116", ""),
    ("{template: convert3d, version: 1.0.0, args: {install_path: '/opt; reboot'}}", "R116", ""),
    ("{template: dcm2niix, version: '{% raw %}', method: source}", "R037", ""),
    ("{template: dcm2niix, version: 'v1 && x', method: source}", "R116", ""),
    ("{template: jq, version: '1.7', source: progam}", "R020", 'Did you mean "program"?'),
    ("{template: _default, version: '1'}", "R111", ""),
    ("{template: ../../x, version: '1'}", "R111", ""),
    ("{template: jq, version: '1.7', arg: {}}", "R001", 'Did you mean "args"?'),
]


@pytest.mark.parametrize(("own", "code", "told"), WRONG)
def test_what_is_wrong_is_told_at_its_place(own: str, code: str, told: str, tmp_path: Path) -> None:
    found = problems(tmp_path, f"- neurodocker: {own}", SOURCE)
    assert [d.code for d in found] == [code]
    assert told in str(found[0])
    assert found[0].span.line == 13


def test_every_wrong_argument_is_told_at_once(tmp_path: Path) -> None:
    own = "{template: convert3d, version: x, args: {a: 1, install_path: '`x`'}}"
    found = problems(tmp_path, f"- neurodocker: {own}")
    assert sorted(d.code for d in found) == ["R113", "R114", "R116"]


def test_braces_of_an_argument_are_no_template(tmp_path: Path) -> None:
    own = (
        "{template: dcm2niix, version: v1, method: source, args: {cmake_opts: \"{{ '{{' }} x }}\"}}"
    )
    assert [d.code for d in problems(tmp_path, f"- neurodocker: {own}")] == ["R116"]


def test_a_missing_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "site-packages" not in p])
    found = problems(tmp_path, "- neurodocker: {template: jq, version: '1.7'}")
    assert [d.code for d in found] == ["R110"]
    assert "pip install 'ssds[generators]'" in str(found[0])


OTHERWISE = {"afni", "bids_validator", "spm12", "matlabmcr"}
"""Those that install packages on their way, and one that fails in neurodocker itself."""
OWN_WAY = """
import json, sys
from neurodocker.reproenv import DockerRenderer
from neurodocker.reproenv.renderers import _render_string_from_template as render
from neurodocker.reproenv import get_template, Template
found = {}
for name, method, version in json.load(sys.stdin):
    words = {"version": version}
    template = getattr(Template(get_template(name), **{f"{method}_kwds": words}), method)
    template.pkg_manager = "apt"
    template.install_dependencies = lambda opts=None: ":"
    found[f"{name} {method}"] = [render(template.instructions, template).strip() + "\\n",
        {k: render(v, template) for k, v in template.env.items()}]
print(json.dumps(found))
"""


def test_scripts_and_variables_are_those_of_neurodocker_itself() -> None:
    asked = []
    for name in templates():
        for method in ("binaries", "source"):
            required = (template(name).get(method, {}).get("arguments") or {}).get("required", ())
            if list(required) == ["version"] and name not in OTHERWISE:
                asked.append((name, method, (versions(name, method) or ["1.0"])[-1]))
    done = subprocess.run(
        [sys.executable, "-c", OWN_WAY],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    assert len(theirs) >= 15
    for name, method, version in asked:
        words = {"template": name, "method": method, "version": version}
        request = Request(
            value=words, platform="linux/amd64", sources={}, common={"address": "build[0]"}
        )
        found = expand(request)
        script, values = theirs[f"{name} {method}"]
        assert [s.script for s in found.steps if isinstance(s, RunStep)] == [script], name
        assert dict(next((s.values for s in found.steps if isinstance(s, EnvStep)), {})) == values


def test_the_same_recipe_gives_the_same_steps_on_any_machine(tmp_path: Path) -> None:
    """Neither the hash seed, nor the home, nor the number of processors, nor the time is seen."""
    code = (
        "import sys; sys.path[:0] = ['tests']\n"
        "from pathlib import Path; from generator_steps import steps\n"
        f"print(steps(Path({str(tmp_path)!r}) / sys.argv[1], sys.argv[2]))"
    )
    own = "- neurodocker: {template: fsl, version: 6.0.4}"
    seen = set()
    for seed, home in (("1", "/a"), ("2", "/b")):
        done = subprocess.run(
            [sys.executable, "-c", code, seed, own],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "HOME": home, "TZ": "Asia/Tokyo", "PATH": "/bin"},
            cwd=Path(__file__).parent.parent.parent,
        )
        seen.add(done.stdout)
    assert len(seen) == 1
