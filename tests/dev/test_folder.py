"""One run at a time in one folder, and secrets that only their owner reads."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bff.dev import folder
from bff.sessions.sealing import parse_keys

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_second_run_is_refused_with_the_process_that_holds_it(
    tmp_path: Path,
) -> None:
    home = tmp_path / "new" / "home"
    with (
        folder.locked(home),
        pytest.raises(folder.FolderInUse) as caught,
        folder.locked(home),
    ):
        pass

    assert f"{home} is in use by process {os.getpid()}" in str(caught.value)
    assert "Ctrl-C" in str(caught.value)
    assert mode(home) == 0o700


def test_the_lock_is_free_after_the_run_and_after_a_kill(tmp_path: Path) -> None:
    with folder.locked(tmp_path):
        pass
    with folder.locked(tmp_path):
        assert (tmp_path / "lock").read_text() == f"process {os.getpid()}"
    holder = (
        "import os, pathlib, signal, sys; from bff.dev import folder; "
        "held = folder.locked(pathlib.Path(sys.argv[1])); held.__enter__(); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", holder, str(tmp_path)], check=False)  # noqa: S603 - our own words
    with folder.locked(tmp_path):
        pass


def test_secrets_are_made_once_and_readable_by_the_owner_alone(
    tmp_path: Path,
) -> None:
    old = os.umask(0)
    try:
        one = folder.secret(tmp_path, "client_secret")
        ring = folder.key_file(tmp_path)
        folder.write_report(tmp_path / "dev.json", {"a": 1})
    finally:
        os.umask(old)

    assert len(one) >= 32
    assert folder.secret(tmp_path, "client_secret") == one
    assert folder.secret(tmp_path, "gateway_key") != one
    text = ring.read_text(encoding="utf-8")
    assert len(parse_keys(text)) == 1
    assert folder.key_file(tmp_path).read_text(encoding="utf-8") == text
    for path in tmp_path.iterdir():
        assert mode(path) == 0o600, path


def test_the_report_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "dev.json"
    folder.write_report(report, {"run": 1})

    def fail(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", fail)
        with pytest.raises(OSError):  # noqa: PT011 - raised just above
            folder.write_report(report, {"run": 2})
    assert json.loads(report.read_text(encoding="utf-8")) == {"run": 1}

    folder.write_report(report, {"run": 3})
    assert json.loads(report.read_text(encoding="utf-8")) == {"run": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["dev.json"]


def test_a_secret_cut_off_while_it_was_written_is_made_anew(tmp_path: Path) -> None:
    draft = tmp_path / "client_secret.new"
    draft.write_text("half")
    draft.chmod(0o644)

    made = folder.secret(tmp_path, "client_secret")

    assert made != "half"
    assert mode(tmp_path / "client_secret") == 0o600
