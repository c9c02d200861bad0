"""The pinned compressor and the way back."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssds.core.errors import IntegrityError, UnavailableError
from ssds.oci import compress, types


def packed(data: bytes) -> bytes:
    return b"".join(compress.compress_chunks(iter([data])))


def unpacked(data: bytes, media_type: str = types.LAYER_GZIP, limit: int = 1 << 40) -> bytes:
    return b"".join(compress.decompress_stream(io.BytesIO(data), media_type, limit_bytes=limit))


def test_this_machine_has_the_pinned_compressor() -> None:
    compress.check_compressor()


def test_another_zlib_is_refused_with_what_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compress, "_EXPECTED", "sha256:" + "0" * 64)
    compress.check_compressor.cache_clear()
    with pytest.raises(UnavailableError, match="not the pinned compressor") as caught:
        compress.check_compressor()
    assert "Debian 12" in caught.value.hint
    monkeypatch.undo()
    compress.check_compressor.cache_clear()
    compress.check_compressor()


def test_compressed_bytes_do_not_depend_on_how_they_come(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    (tmp_path / "layer").write_bytes(data)
    out = io.BytesIO()
    digest, size = compress.compress(str(tmp_path / "layer"), out)
    one_by_one = b"".join(compress.compress_chunks(data[i : i + 7] for i in range(0, len(data), 7)))
    assert out.getvalue() == one_by_one
    assert digest == "sha256:" + hashlib.sha256(one_by_one).hexdigest()
    assert size == len(one_by_one)
    assert out.getvalue()[:10].hex() == "1f8b08000000000000ff"
    assert gzip.decompress(one_by_one) == data


@settings(deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=4), st.integers(0, 5))
def test_what_was_compressed_comes_back(parts: list[bytes], padding: int) -> None:
    data = b"".join(packed(part) for part in parts) + (b"\0" * padding if parts else b"")
    if parts:
        assert unpacked(data) == b"".join(parts)


def test_runs_that_inflate_a_thousandfold_come_back_whole() -> None:
    for size in (1 << 20, (1 << 20) + 1, 5_000_000, 3 << 20):
        assert len(unpacked(packed(b"\0" * size))) == size


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty", b""),
        ("no gzip", b"hello, this is plain text"),
        ("cut in the header", packed(b"x" * 1000)[:5]),
        ("cut in the middle", packed(bytes(range(256)) * 50)[:200]),
        ("cut in the trailer", packed(b"x" * 1000)[:-3]),
        ("a wrong checksum", packed(b"x" * 1000)[:-8] + b"\0\0\0\0" + packed(b"x" * 1000)[-4:]),
        ("a wrong length", packed(b"x" * 1000)[:-4] + b"\1\0\0\0"),
        ("garbage behind", packed(b"x" * 1000) + b"garbage"),
        ("a second member cut", packed(b"x") + packed(b"y" * 1000)[:-9]),
    ],
)
def test_damaged_gzip_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        unpacked(data)
    assert caught.value.code == "O021"


def test_a_bomb_is_stopped_at_the_limit() -> None:
    bomb = packed(b"\0" * 50_000_000)
    assert len(bomb) < 60_000
    with pytest.raises(IntegrityError, match="larger than 1000000 bytes"):
        unpacked(bomb, limit=1_000_000)


def test_plain_layers_pass_as_they_are() -> None:
    assert unpacked(b"tar", types.LAYER) == b"tar"


@pytest.mark.skipif(not shutil.which("zstd"), reason="needs the zstd program")
def test_zstd_layers_are_read_and_damaged_ones_refused() -> None:
    data = bytes(range(256)) * 5000
    small = subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout
    assert unpacked(small, types.LAYER_ZSTD) == data
    for bad in (small[:-20], b"no zstd at all"):
        with pytest.raises(IntegrityError):
            unpacked(bad, types.LAYER_ZSTD)


def test_an_unknown_media_type_is_refused_with_its_name() -> None:
    with pytest.raises(UnavailableError, match="nondistributable"):
        unpacked(b"", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")
