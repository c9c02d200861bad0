"""Names, logs and errors that come from outside do not reach a terminal as commands."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tty
from pathlib import Path

import pytest
from e2e_workspace import ROOT, Site

from ssds.cli.output import print_json

EVIL = "\x1b]0;title\x07 \x1b[2J"


def on_terminal(site: Site, *arguments: str) -> str:
    """Runs ssds with a pseudo-terminal as its standard output and error."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    ended = subprocess.Popen(
        [sys.executable, "-m", "ssds", "-C", str(site.workspace), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SSDS_USER_SETTINGS": os.devnull},
    )
    os.close(slave)
    text = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        text += data
    os.close(master)
    ended.wait(timeout=60)
    return text.decode()


def test_a_file_name_with_an_escape_sequence_is_shown_as_text(plain: Site) -> None:
    folder = f"e{EVIL}\udcff"
    plain.write(f"catalog/{folder}/recipe.yaml", "name: x\n")
    for arguments in (["check"], ["check", "--json"], ["plan"]):
        ended = plain.run(*arguments)
        assert ended.code == 1
        assert "Traceback" not in ended.text
        assert "E001" not in ended.text
        assert not set(ended.text) & set("\x1b\x07\x9b")


def test_json_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "a\x9bb\u202ec\x1bd\x7f\udcff"}
    print_json(value)
    text = capsys.readouterr().out
    assert json.loads(text) == value
    assert text.isascii()


@pytest.mark.component("apt")
@pytest.mark.component("sandbox")
@pytest.mark.component("mmdebstrap")
def test_a_log_is_escaped_on_a_terminal_and_whole_in_a_pipe(site: Site, tmp_path: Path) -> None:
    site.recipe("tiny", "wc -l", r"printf '\033]0;title\007 \033[2J 100%%\r\n'; exit 3; wc -l")
    ended = site.run("apply", "--yes", "tiny")
    assert ended.code == 1
    assert "\x1b" not in ended.text
    assert "\x1b]0;title\x07 \x1b[2J 100%" in site.run("log", "tiny:build").out
    told = on_terminal(site, "log", "tiny:build")
    assert "\\x1b]0;title\\x07 \\x1b[2J 100%\n" in told
    assert "\x1b" not in told
