"""Hand the style sheets the package's colours: `colours.css`, with a custom property each, for both themes."""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from udig_lab.drawing.colours import NEGATIVE, POSITIVE, THEMES

WHERE = {"light": ":root", "dark": 'html[data-theme="dark"]'}


def sheet() -> str:
    """The style sheet: ``--ul-blue`` and so on; signs as numbers, for ``rgba(var(--ul-positive), 0.5)``."""
    signs = {"positive": POSITIVE, "negative": NEGATIVE}
    own = {"light": {name: ", ".join(map(str, colour)) for name, colour in signs.items()}, "dark": {}}
    blocks = []
    for theme, colours in THEMES.items():
        lines = "".join(f"  --ul-{name}: {colour};\n" for name, colour in (own[theme] | colours.pages).items())
        blocks.append(f"{WHERE[theme]} {{\n{lines}}}\n")
    return "".join(blocks)


def write(app: Sphinx) -> None:
    """Put the sheet where Sphinx collects style sheets, and on every page."""
    folder = Path(app.doctreedir) / "colours"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "colours.css").write_text(sheet(), encoding="utf8")
    app.config.html_static_path.append(str(folder))
    app.add_css_file("colours.css")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
