"""What is fetched is known beforehand: pins with hashes, actions by commit, and no more rights than a job needs."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_PIN = re.compile(
    r"(?m)^([A-Za-z0-9._-]+)==(\S+?)(?: ; [^\\\n]+)?(?: \\\n)((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+)"
)


def test_every_pin_has_hashes():
    lines = [line for line in LOCK.splitlines() if line and not line.startswith(("#", "    "))]
    pins = _PIN.findall(LOCK)
    assert len(pins) == len(lines) > 150
    assert len(set(pins)) == len(pins)


def test_what_the_package_needs_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    names = {re.sub("[-_.]+", "-", name).lower() for name, _, _ in _PIN.findall(LOCK)}
    missing = (
        {re.split(r"[^A-Za-z0-9._-]", name)[0].lower().replace("_", "-") for name in wanted} - names - {"udig-lab"}
    )
    assert not missing


def test_the_makefile_installs_nothing_without_a_hash():
    text = (ROOT / "Makefile").read_text(encoding="utf8")
    for line in re.findall(r"pip install.*", text):
        own = "--no-deps" in line and ("--no-index" in line or line.endswith("-e ."))  # what lies on this machine
        assert own or "--require-hashes" in line or "benchmarks/requirements.txt" in line, line


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_actions_are_pinned_by_commit_with_their_tag(file):
    used = re.findall(r"uses: (.*)", file.read_text(encoding="utf8"))
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_jobs_have_the_least_rights(file):
    workflow = yaml.safe_load(file.read_text(encoding="utf8"))
    assert "write" not in str(workflow["permissions"])
    for name, job in workflow["jobs"].items():
        steps = job["steps"]
        if "write" in str(
            job.get("permissions", "")
        ):  # then it runs nothing that was checked out or comes from others
            assert all(step.get("uses", "actions/").startswith("actions/") for step in steps), name
            assert not any("checkout" in step.get("uses", "") for step in steps), name
        for step in steps:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, name


def test_the_workflow_tests_what_the_readme_names():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf8"))
    matrix = workflow["jobs"]["unit"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    assert {"macos-14"} == {job["os"] for job in matrix["include"]}
    readme = (ROOT / "README.md").read_text(encoding="utf8").replace("\n", " ")
    for words in ("on Linux", "on macOS (arm64)", "on Windows through WSL", "Python 3.11 to 3.13"):
        assert words in readme


def test_security_is_told_in_ten_lines():
    assert len((ROOT / "SECURITY.md").read_text(encoding="utf8").strip().splitlines()) <= 10
