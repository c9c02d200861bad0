"""Image references: one full form for what people write, and nothing else is accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssds.core.errors import InvalidValue
from ssds.oci.image_name import parse_image_name

DIGEST = "sha256:" + "5e" * 32
FULL = {
    "ubuntu": "docker.io/library/ubuntu:latest",
    "ubuntu:24.04": "docker.io/library/ubuntu:24.04",
    "docker.io/ubuntu:24.04": "docker.io/library/ubuntu:24.04",
    "index.docker.io/library/ubuntu:24.04": "docker.io/library/ubuntu:24.04",
    "neurodebian/bookworm:1": "docker.io/neurodebian/bookworm:1",
    "ghcr.io/x/y:tag": "ghcr.io/x/y:tag",
    "GHCR.io/x/y": "ghcr.io/x/y:latest",
    "localhost/x": "localhost/x:latest",
    "localhost:5000/x:1": "localhost:5000/x:1",
    "[::1]:5000/x:1": "[::1]:5000/x:1",
    f"ubuntu@{DIGEST}": f"docker.io/library/ubuntu@{DIGEST}",
    f"ghcr.io/x/y:tag@{DIGEST}": f"ghcr.io/x/y:tag@{DIGEST}",
}
BAD = (
    "", " ", "Ubuntu", "https://docker.io/library/ubuntu", "ubuntu:", "ubuntu:24.04:1", "ubuntu@",
    "ubuntu@sha256:abc", "ghcr.io/", "a//b", "../ubuntu", "ubuntu 24", "ubuntu:a b", "-x",
    "x" * 600, f"ubuntu@blake3:{'0' * 64}x", "ubuntu\n", "host.example:99999999/x",
)  # fmt: skip


@pytest.mark.parametrize(("text", "full"), FULL.items())
def test_a_reference_has_one_full_form(text: str, full: str) -> None:
    assert str(parse_image_name(text)) == full
    assert str(parse_image_name(full)) == full


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_image_name(text)


@pytest.mark.parametrize("algorithm", [("sha512", 128), ("blake3", 64)])
def test_only_a_sha256_can_name_an_image(algorithm: tuple[str, int]) -> None:
    name, length = algorithm
    with pytest.raises(InvalidValue, match="cannot name"):
        parse_image_name(f"debian@{name}:{'a' * length}")


@given(st.text(alphabet="aZ0./:@-_ é[]", max_size=40))
def test_no_text_breaks_the_reader_and_the_full_form_stays(text: str) -> None:
    try:
        full = str(parse_image_name(text))
    except InvalidValue:
        return
    assert str(parse_image_name(full)) == full
