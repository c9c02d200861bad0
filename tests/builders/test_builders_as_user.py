"""buildah without root: an ordinary user's steps give root's layers, and leave nothing."""

from __future__ import annotations

import pytest
from as_user import ordinary_user, reason_against, run_as
from builder_steps import chain

CODE = """
import sys; sys.path[:0] = ['tests']
from builder_steps import chain, the_builder
print(the_builder('buildah').mode, *chain('buildah'))
print(the_builder('buildah').sweep(), the_builder('buildah').forget() > 0)
"""

pytestmark = [
    pytest.mark.component("sandbox"),
    pytest.mark.component("buildah"),
    pytest.mark.skipif(bool(reason_against()), reason=reason_against() or "-"),
]


def test_buildah_of_an_ordinary_user_gives_the_layers_of_root() -> None:
    with ordinary_user() as name:
        code, output = run_as(name, ["-c", CODE], timeout_s=300)
    assert code == 0, output[-3000:]
    built, left = output.strip().splitlines()[-2:]
    assert built.split() == ["buildah-rootless", *chain("embedded")]
    assert left == "0 True"
