"""An ``env`` step with ``expand`` reads the image so far, as ENV of a Dockerfile does."""

from __future__ import annotations

import pytest

from ssds.kinds.build.state import DEFAULT_PATH, ConfigState, expanded

KNOWN = {"PATH": "/usr/bin", "HOME": "/root", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("/opt/x/bin:$PATH", "/opt/x/bin:/usr/bin"),
        ("${PATH}:/opt/x", "/usr/bin:/opt/x"),
        ("a${UNKNOWN}b$UNKNOWN", "ab"),
        ("${EMPTY:-else} ${UNKNOWN:-else} ${HOME:-else}", "else else /root"),
        ("${EMPTY:+then}|${UNKNOWN:+then}|${HOME:+then}", "||then"),
        (r"\$HOME costs 5$ or $5", "$HOME costs 5$ or $5"),
        ("${HOME%x} ${}", "${HOME%x} ${}"),
        ("$HOMES", ""),
    ],
)
def test_variables_are_replaced_as_in_a_dockerfile(text: str, value: str) -> None:
    assert expanded(text, KNOWN) == value


def test_the_values_of_one_step_see_the_image_before_it() -> None:
    values = {"A": "new", "B": "$A", "PATH": "/x:$PATH"}
    before = ConfigState().after({"type": "env", "values": {"A": "old"}})
    after = before.after({"type": "env", "values": values, "expand": True})
    assert after.environment == {"A": "new", "B": "old", "PATH": f"/x:{DEFAULT_PATH}"}


def test_without_expand_a_dollar_sign_is_a_dollar_sign() -> None:
    after = ConfigState().after({"type": "env", "values": {"PATH": "/x:$PATH"}})
    assert after.environment["PATH"] == "/x:$PATH"
