"""CONTRIBUTING's recipe for a new method, followed to the letter; and its list of what a release changes."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import udig_lab as ul
from udig_lab.methods import METHODS

ROOT = Path(__file__).parents[2]


def blocks():
    """The Python blocks of the section on adding a method."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf8")
    section = text[text.index("## Adding a method") :]
    section = section[: section.index("\n## ")]
    return re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


@pytest.fixture
def registry():
    """The registry, left as it was found."""
    before = dict(METHODS)
    yield METHODS
    METHODS.clear()
    METHODS.update(before)


def test_the_recipe_makes_a_method_that_passes_its_tests(registry, capsys):
    room = {"__name__": "detour"}
    before = set(registry)
    for block in blocks():
        exec(compile(block, "CONTRIBUTING.md", "exec"), room)
    (new,) = set(registry) - before
    assert new in capsys.readouterr().out, "step 3 shows nothing of the new method"
    tests = [name for name in room if name.startswith("test_")]
    assert len(tests) >= 3
    for name in tests:
        room[name]()
    # What the recipe promises of the registry: settings, errors, and the figure that opens a chapter.
    with pytest.raises(TypeError, match="has no setting"):
        ul.explain(room["model"], room["SENTENCE"], method=new, sideways=True)
    assert new in ul.plots.four_panels(room["trace"], 2).alt


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]["version"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))["version"]
    assert project == ul.__version__ == str(cited)
    assert f"\n## {project}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf8")


def test_issue_forms_are_whole_and_linked_by_their_names():
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    forms = {path.name: yaml.safe_load(path.read_text(encoding="utf8")) for path in folder.glob("*.yml")}
    forms.pop("config.yml")
    assert set(forms) == {"bug.yml", "wrong-number.yml", "unclear-passage.yml"}
    for form in forms.values():
        assert form["name"]
        assert form["description"]
        asked = [field for field in form["body"] if field["type"] != "markdown"]
        assert len({field["id"] for field in asked}) == len(asked)
        assert all(field["attributes"]["label"] for field in asked)
    for page in (ROOT / "book").glob("*.md"):
        for name in re.findall(r"issues/new\?template=([\w.-]+)", page.read_text(encoding="utf8")):
            assert name in forms, f"{page.name} links to the form {name}, which is not there"
