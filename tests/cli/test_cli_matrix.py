"""``plan --matrix`` and ``plan --markdown``: what a CI run makes of a plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from e2e_workspace import SETTINGS, Site, check_error

from ssds.cli.matrix import _components, _joined
from ssds.cli.plan_text import markdown
from ssds.delivery import Delivery, Row
from ssds.graph.plan import Plan, Verb


def a_row(number: int, text: str = "no result for this key", verb: Verb = Verb.RUN) -> Row:
    return Row(
        node=f"tool{number}@1.0:build",
        kind="build",
        platform="linux/amd64",
        verb=verb,
        reason="new",
        text=text,
    )


def a_delivery(*rows: Row) -> Delivery:
    return Delivery(plan=Plan(steps={}), rows=rows)


def test_a_comment_of_a_huge_plan_stays_below_what_forges_take() -> None:
    text = markdown(a_delivery(*(a_row(n, "é" * 100) for n in range(3000))))

    assert len(text.encode()) < 65_536
    assert "| to run | 3000 |" in text
    assert "rows were left out to keep this short" in text
    assert text.count("<details>") == text.count("</details>") > 50


def test_what_a_stranger_wrote_is_no_markup_in_a_comment() -> None:
    text = markdown(a_delivery(a_row(1, "a | b `x` @team [x](http://example.org) <b>")))

    (line,) = [line for line in text.splitlines() if "@team" in line]
    assert "`a ¦ b 'x' @team [x](http://example.org) <b>` |" in line


def test_held_rows_stand_first_and_nothing_to_do_says_so() -> None:
    text = markdown(a_delivery(a_row(1), a_row(2, "the gate failed", Verb.HELD)))

    assert text.index("**Held: 1**") < text.index("tool1@1.0")
    assert markdown(a_delivery()).startswith("### ssds plan: nothing to do")


def test_releases_that_share_what_is_to_be_built_are_one_job() -> None:
    links = {"a@1": [], "b@1": ["a@1"], "c@1": [], "d@1": ["b@1", "x@1"]}

    assert _components(links) == [["a@1", "b@1", "d@1"], ["c@1"]]


@pytest.mark.parametrize("most", [1, 3, 10])
def test_too_many_jobs_are_joined_and_none_is_lost(most: int) -> None:
    groups = [[f"tool{number}@1"] for number in range(10)]

    joined = _joined(groups, most)

    assert len(joined) == most
    assert sorted(name for names in joined for name in names) == sorted(g[0] for g in groups)


@pytest.mark.component("apt")
@pytest.mark.component("sandbox")
@pytest.mark.component("mmdebstrap")
def test_the_matrix_has_a_job_for_each_platform_with_its_runner_and_needs(
    site: Site, tmp_path: Path
) -> None:
    del tmp_path
    check_error(site.run("plan", "--matrix"), "E224")
    site.recipe("tiny", "version:", "resources: {memory_mib: 700, time_s: 60}\nversion:")
    site.write("ssds.yaml", f'{SETTINGS}runners: {{linux/amd64: [own, "big-{{run_id}}"]}}\n')

    made = site.good("plan", "--matrix", CI_PIPELINE_ID="12", SSDS_RUN_ID="")

    assert made.out.count("\n") == 1
    (job,) = json.loads(made.out)["include"]
    assert job["runs_on"] == ["own", "big-12"]
    assert job["selectors"] == "tiny@1.0:publish"
    assert (job["memory_mib"], job["disk_mib"], job["time_s"]) == (700, 0, 60)
    site.write("ssds.yaml", f"{SETTINGS}runners: {{linux/arm64: arm}}\n")
    nobody = site.good("plan", "--matrix")
    assert json.loads(nobody.out) == {"include": []}
    assert "no runner for linux/amd64" in nobody.err


def test_a_data_set_is_a_job_with_the_recipe_that_it_is_indexed_with(plain: Site) -> None:
    plain.write("ssds.yaml", f"{SETTINGS}runners: {{linux/amd64: own}}\n")
    plain.write(
        "catalog/data/two/1.0.yaml",
        "title: Two\nlicenses: [MIT]\nsources: {a: {url: 'https://example.org/a'}}\n"
        "resources: {disk_mib: 900}\n",
    )
    made = plain.good("plan", "--matrix")
    jobs = json.loads(made.out)["include"]
    (job,) = [job for job in jobs if "two@1.0" in job["selectors"]]
    assert (job["selectors"], job["platform"]) == ("two@1.0:dataset", "linux/amd64")
    assert (job["disk_mib"], job["steps"], job["runs_on"]) == (900, 2, ["own"])

    with_ = "index: [{name: i, with: tiny@1.0, run: 'true > i'}]\n"
    path = plain.workspace / "catalog/data/two/1.0.yaml"
    path.write_text(path.read_text() + with_)
    jobs = json.loads(plain.good("plan", "--matrix").out)["include"]
    (job,) = [job for job in jobs if "two@1.0" in job["selectors"]]
    assert sorted(job["selectors"].split()) == ["tiny@1.0:publish", "two@1.0:dataset"]
