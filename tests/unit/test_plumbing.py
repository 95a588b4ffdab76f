"""Which code counts as laying out: the measure by which cells of notebooks are folded."""

import ast

import pytest
from plumbing import is_layout, layout, lays_out

DRAWN = """
def draw(ax):
    for x in found:
        ax.plot(x)
    ax.set_xticks([0, 1])


ul.plots.show(draw, alt="a line")
"""


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import a\nfrom b import c\n\nx = 1", (2, 3)),
        ('import sys\n\nif "google.colab" in sys.modules:\n    %pip install -q x', (3, 3)),
        (DRAWN, (5, 5)),
        ("scores = model(x)\ntotal = scores.sum()\nassert total > 0", (0, 3)),
        ('said = "a" + ", ".join(names)\nalt = f"{said}."', (2, 2)),
        ("pd.DataFrame(rows).T", (1, 1)),
        ("table = pd.DataFrame(rows)\ntable.style.format(precision=2)", (1, 2)),
        ('for x in found:\n    said = f"{x:.2f}"\n    print(said)', (3, 3)),
        ("for x in found:\n    assert x > 0\n    print(x)", (0, 3)),
        ("def half(x):\n    return x / 2", (0, 2)),
    ],
)
def test_lines_that_lay_out_are_counted(source, lines):
    assert layout(source) == lines


def test_a_cell_is_folded_by_its_larger_part():
    assert is_layout(DRAWN)
    assert not is_layout("x = f(1)\ny = g(x)\n" * 4 + DRAWN)
    assert not is_layout("import a"), "a bar to click on would be as high"
    assert not is_layout(DRAWN + "\nassert found"), "checks stay open"


def test_a_docstring_lays_out_nothing():
    assert not lays_out(ast.parse('"""Words."""').body[0])
