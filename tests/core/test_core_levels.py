"""Micro-architecture levels: fallback chains, what a processor must have, compiler flags."""

from __future__ import annotations

import re

import pytest

from ssds.core import levels
from ssds.core.platform import Platform

ALL = [(a, level) for a in ("amd64", "arm64") for level in levels.similar(a)]


def test_zen3_falls_back_to_its_forebears_then_to_the_levels_then_to_every_machine():
    chain = [p.removeprefix("linux/amd64") for p in Platform("linux/amd64/zen3").fallbacks]
    assert chain == ["/zen3", "/zen2", "/zen", "/v3", "/v2", ""]


def test_a_level_falls_back_to_lower_ones_without_archspec():
    chain = Platform("linux/amd64/v3").fallbacks
    assert chain == ("linux/amd64/v3", "linux/amd64/v2", "linux/amd64/v1", "linux/amd64")


def test_the_best_of_what_is_offered_is_the_nearest_below():
    zen3 = Platform("linux/amd64/zen3")
    offered = {Platform("linux/amd64"), Platform("linux/amd64/v3"), Platform("linux/amd64/v4")}
    assert zen3.best_of(offered) == "linux/amd64/v3"
    assert zen3.best_of({Platform("linux/arm64")}) is None


def test_platforms_without_a_level_have_no_flags():
    assert levels.compiler_flags("amd64", "") == levels.compiler_flags("arm64", "") == ""
    assert Platform("linux/arm64").fallbacks == ("linux/arm64",)


@pytest.mark.parametrize(
    ("platform", "flags"),
    [
        ("amd64/v3", "-march=x86-64-v3 -mtune=generic"),
        ("amd64/zen3", "-march=znver3 -mtune=znver3"),
        ("amd64/skylake_avx512", "-march=skylake-avx512 -mtune=skylake-avx512"),
        ("arm64/neoverse_v1", "-mcpu=neoverse-v1"),
        # GCC 12 does not know it yet: what it knows of the best one below.
        ("amd64/arrowlake", "-march=alderlake -mtune=alderlake"),
    ],
)
def test_compilers_are_told_the_level(platform, flags):
    assert levels.compiler_flags(*platform.split("/")) == flags


@pytest.mark.parametrize(("architecture", "level"), ALL)
def test_every_level_needs_what_its_fallbacks_need(architecture, level):
    needed = levels.features(architecture, level)
    assert needed is not None
    for lower in levels.below(architecture, level):
        assert levels.weight(architecture, lower) <= levels.weight(architecture, level)
    assert re.fullmatch(r"[-a-z0-9+=. ]*", levels.compiler_flags(architecture, level))


@pytest.mark.parametrize("name", ["x86_64_v3", "zen33", "v9", "v1x"])
def test_other_names_are_no_levels(name):
    assert not levels.known("amd64", name)
    assert levels.features("amd64", name) is None
    assert Platform(f"linux/amd64/{name}").fallbacks[1:] == ("linux/amd64",)


def test_a_processor_newer_than_the_compiler_gets_no_flags_where_none_below_has_some():
    assert levels.compiler_flags("arm64", "olympus") == ""
