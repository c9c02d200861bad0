"""The CI files in ``examples/`` are what runs: their steps, on one machine as several runners."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ci_runner import Forge, GitHub, GitLab
from e2e_workspace import ROOT, SETTINGS, Site
from thorough import THOROUGH

EXAMPLES = ROOT / "examples/ci"
SECOND = "linux/amd64/v2"
"""A second platform that this machine runs as it is."""


def git(folder: Path, *words: str) -> str:
    person = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", *person, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def origin(site: Site, tmp_path: Path) -> Path:
    """A catalog with one release and one recipe to be built for two platforms; a cache's base."""
    cache = {"name": "ci", "location": str(tmp_path / "cache"), "trust": "unsigned", "push": True}
    runners = {"linux/amd64": ["self-hosted", "big-{run_id}"], SECOND: "v2"}
    site.write("ssds.yaml", SETTINGS + yaml.safe_dump({"cache": [cache], "runners": runners}))
    site.recipe(
        "tiny",
        "platforms: {linux/amd64: required}",
        f"platforms: {{linux/amd64: required, {SECOND}: required}}",
    )
    site.good("lock", "tiny")
    site.good("cache", "push", "ground")
    site.write(".gitignore", ".ssds/\n")
    git(site.workspace, "init", "-q", "-b", "main")
    git(site.workspace, "add", "-A")
    git(site.workspace, "commit", "-q", "-m", "start")
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "-q", "--bare", str(site.workspace), str(origin))
    return origin


def executed(checkout: Path) -> set[str]:
    path = checkout / ".ssds/last-apply.json"
    data = json.loads(path.read_bytes()) if path.exists() else {"nodes": []}
    return {f"{e['node']} {e['platform']}".strip() for e in data["nodes"] if e["state"] == "done"}


def test_what_the_examples_say_builds_joins_and_releases(origin: Path, tmp_path: Path) -> None:
    start = git(origin, "rev-parse", "main").strip()
    workflow = yaml.safe_load((EXAMPLES / "github/ssds.yml").read_text())
    forge = Forge(origin, tmp_path / "github")

    # a pull request: a comment; its other jobs are for main only
    run = GitHub(forge, workflow, "pull_request")
    tokens = {"github.token": "t", "github.event.pull_request.number": "7"}
    run.job("plan", "planned", **tokens)
    comment = forge.recorded.read_text()
    assert comment.startswith("pr comment 7 --body-file plan.md")
    assert "tiny@1.0" in comment
    assert len(comment) < 65_536

    for name in ("build", "release"):
        assert workflow["jobs"][name]["if"].startswith("github.event_name == 'push' && ")

    # main: a job for each platform, then one that joins and releases
    jobs = json.loads(run.outputs["matrix"])["include"]
    assert [job["platform"] for job in jobs] == ["linux/amd64", SECOND]
    assert jobs[0]["runs_on"] == ["self-hosted", "big-0"]
    for number, job in enumerate(jobs):
        known = {f"matrix.{key}": str(value) for key, value in job.items()}
        run.job("build", f"built-{number}", **known, **{"strategy.job-index": str(number)})
        ran = executed(forge.folder / f"built-{number}/checkout")
        assert f"tiny@1.0:build {job['platform']}" in ran
    told = run.job("release", "released")
    assert executed(forge.folder / "released/checkout") == {"tiny@1.0:index", "tiny@1.0:metadata"}
    assert "Applied:" in told
    released = lock_of(origin)
    assert set(released["variants"]["default"]["platforms"]) == {"linux/amd64", SECOND}
    assert released["variants"]["default"]["revision"] == 1

    if not THOROUGH:
        return
    # GitLab, from the same start and with what is in the cache now: nothing is built, same lock
    git(origin, "update-ref", "refs/heads/main", start)
    as_gitlab(origin, tmp_path / "gitlab")
    assert lock_of(origin) == released


def as_gitlab(origin: Path, folder: Path) -> None:
    pipeline = GitLab(
        Forge(origin, folder), yaml.safe_load((EXAMPLES / "gitlab/.gitlab-ci.yml").read_text())
    )
    pipeline.job("plan", "plan")
    pipeline.job("comment", "comment", COMMENT_TOKEN="t", CI_API_V4_URL="https://example.org")
    assert "body@plan.md" in pipeline.forge.recorded.read_text()
    for number, platform in enumerate(("linux/amd64", SECOND), start=1):
        variables = {"PLATFORM": platform, "CI_NODE_INDEX": str(number)}
        pipeline.job("build", f"build-{number}", **variables)
        assert executed(folder / f"build-{number}/checkout") == set()
    forge_url = "https://ci:t@forge.example.org/team/catalog.git"
    pipeline.job(
        "release",
        "release",
        LOCKS_TOKEN="t",
        CI_SERVER_HOST="forge.example.org",
        CI_PROJECT_PATH="team/catalog",
        CI_DEFAULT_BRANCH="main",
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"url.{origin}.insteadOf",
        GIT_CONFIG_VALUE_0=forge_url,
    )
    assert executed(folder / "release/checkout") == set()


def lock_of(origin: Path) -> dict:
    return json.loads(git(origin, "show", "main:lockfiles/tiny@1.0.lock.json"))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("vendor.github-workflows", "github/ssds.yml"),
        ("vendor.gitlab-ci", "gitlab/.gitlab-ci.yml"),
    ],
)
def test_the_examples_obey_the_schemas_of_their_forges(kind: str, path: str) -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    if not shutil.which(program):
        pytest.skip("check-jsonschema is not installed")
    command = [program, "--builtin-schema", kind, EXAMPLES / path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
