"""The table that a whole answer draws, in a browser: in the book's styles and in a notebook's, with no book built."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydata_sphinx_theme
import pytest
import sphinx_book_theme
import transformers as tf
from browser import CHROMIUM, DESK, MISSING, PHONE
from built import ROOT
from playwright.sync_api import Browser, Page
from small import DECODER, LONGER, K, built
from test_browser import clean, violations

import udig_lab as ul

pytestmark = pytest.mark.skipif(not CHROMIUM, reason=MISSING)

SHEETS = (
    Path(sphinx_book_theme.__file__).parent / "theme/sphinx_book_theme/static/styles/sphinx-book-theme.css",
    Path(pydata_sphinx_theme.__file__).parent / "theme/pydata_sphinx_theme/static/styles/pydata-sphinx-theme.css",
    ROOT / "book/_static/book.css",
)
IN_BOOK = (
    '<article class="bd-article"><div class="cell_output"><div class="output text_html" tabindex="0">{}</div></div>'
)
# As in a notebook of Jupyter's, where the browser may be told nothing of the theme.
ALONE = '<div tabindex="0" style="overflow-x: auto">{}</div>'
PAPERS = {
    "light": "body { background: #fff; color: #000 }",
    "dark": "body { background: #111; color: #fff }",
}
# Where the text of each cell begins and ends in its column, heads first.
EDGES = """() => [...document.querySelectorAll("tr")].map((row) => [...row.cells].map((cell) => {
  const text = document.createRange();
  text.selectNodeContents(cell);
  const { left, right } = text.getBoundingClientRect();
  return [left, right];
}))"""


@pytest.fixture(scope="module")
def grid() -> str:
    model = built(tf.LlamaForCausalLM, tf.LlamaConfig(**K, num_key_value_heads=2))
    found = ul.explain_answer(model, LONGER, tokenizer=DECODER, baseline="unk", target="the good cake", method="sig")
    return found._repr_html_()


def page_of(body: str, scheme: str, sheets: str) -> str:
    return (
        f'<!doctype html><html lang="en" data-theme="{scheme}"><head><meta charset="utf-8"><title>An answer</title>'
        f'<meta name="viewport" content="width=device-width"><style>{sheets}</style></head><body class="bd-content">'
        f"<main><h1>An answer</h1>{body}</main></body></html>"
    )


@pytest.fixture(params=["book", "notebook"])
def shown(request: pytest.FixtureRequest, chromium: Browser, grid: str, screen: dict, scheme: str) -> Iterator[Page]:
    profile = chromium.new_context(color_scheme=scheme, **screen)
    page = profile.new_page()
    if request.param == "book":
        sheets = "\n".join(sheet.read_text(encoding="utf8") for sheet in SHEETS)
        page.set_content(page_of(IN_BOOK.format(grid), scheme, sheets))
    else:
        page.set_content(page_of(ALONE.format(grid), scheme, PAPERS[scheme]))
    yield page
    profile.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_everybody_can_read_it(shown: Page):
    clean(violations(shown))


@pytest.mark.parametrize("scheme", ["light"])
@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desk", "phone"])
def test_heads_stand_over_their_values(shown: Page):
    edges = np.array(shown.evaluate(EDGES))  # (rows, columns, 2)
    assert edges.shape[1] == 1 + 3 + 1
    np.testing.assert_allclose(edges[:, 0, 0], edges[0, 0, 0], atol=1)
    np.testing.assert_allclose(edges[:, 1:, 1], np.broadcast_to(edges[0, 1:, 1], edges[:, 1:, 1].shape), atol=1)
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
