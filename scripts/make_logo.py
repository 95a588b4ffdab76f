"""Draw the mark of the book: from baseline to input, straight (IG) and through words (UDIG).

    python scripts/make_logo.py      writes logo.svg, logo.png and favicon.png into book/_static

The SVG is plain text made here; Chromium turns it into the PNG files.
"""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

STATIC = Path(__file__).parents[1] / "book" / "_static"
BLUE, AMBER, GREY = "#3b82f6", "#f59e0b", "#94a3b8"  # readable on white and on near-black
# A cubic Bezier curve whose control points are monotone is monotone in both coordinates, as every
# path of the book has to be.
CONTROL = ((84.0, 428.0), (96.0, 196.0), (230.0, 96.0), (428.0, 84.0))
WORDS = (0.24, 0.43, 0.61, 0.78)  # where on the curve the anchor words sit


def point(t: float) -> tuple[float, float]:
    """The curve at t in [0, 1]."""
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    x = sum(w * p[0] for w, p in zip(weights, CONTROL, strict=True))
    y = sum(w * p[1] for w, p in zip(weights, CONTROL, strict=True))
    return round(x, 1), round(y, 1)


def svg() -> str:
    """The mark on a transparent square."""
    start, first, second, end = (f"{x:g} {y:g}" for x, y in CONTROL)
    dots = "".join(f'\n  <circle cx="{x}" cy="{y}" r="25" fill="{BLUE}"/>' for x, y in map(point, WORDS))
    (x0, y0), (x1, y1) = CONTROL[0], CONTROL[-1]
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 512 512" width="512" height="512">
  <title>udig-lab</title>
  <g fill="none" stroke-linecap="round">
    <path d="M{start} L{end}" stroke="{GREY}" stroke-width="14" stroke-dasharray="1 37"/>
    <path d="M{start} C{first} {second} {end}" stroke="{BLUE}" stroke-width="16"/>
  </g>{dots}
  <circle cx="{x0:g}" cy="{y0:g}" r="44" fill="{GREY}"/>
  <circle cx="{x1:g}" cy="{y1:g}" r="60" fill="{AMBER}"/>
</svg>
"""


def render(source: str, size: int) -> Image.Image:
    """The SVG as Chromium draws it, on nothing."""
    system = shutil.which("chromium") or shutil.which("google-chrome") or ""
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=system).new_page()
        page.set_content(f"<style>body {{ margin: 0 }}</style>{source}")
        picture = Image.open(io.BytesIO(page.locator("svg").screenshot(omit_background=True)))
    return picture.resize((size, size), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    mark = svg()
    (STATIC / "logo.svg").write_text(mark, encoding="utf8")
    render(mark, 512).save(STATIC / "logo.png", optimize=True)
    render(mark, 64).save(STATIC / "favicon.png", optimize=True)
