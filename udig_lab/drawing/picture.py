"""One look for every figure: drawn once for light and once for dark pages, with alt text and caption."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from cycler import cycler

from udig_lab.drawing.colours import THEMES
from udig_lab.drawing.fonts import FONT, fit_fonts, reader_fonts, warn_of

_DPI = 110  # dots an inch, as figures are saved
_WIDE = 7.5  # inches: a wider figure keeps a legible size on a phone, and scrolls there
_PHONE = 4.2  # inches: so wide is a figure that is drawn for a phone, where an inch then takes some 85 pixels
_FEW = 5  # so many panels stand one below the other on a phone; more of them stand in two columns


def style(theme: str = "light") -> Any:
    """Matplotlib settings of the book, for ``matplotlib.rc_context``."""
    look = THEMES[theme]
    grey = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), look.ink)
    return (
        sns.axes_style("whitegrid")
        | sns.plotting_context("notebook", font_scale=0.9)
        | grey
        | {
            "axes.edgecolor": look.grid,
            "grid.color": look.grid,
            "grid.linewidth": 0.6,
            "axes.facecolor": look.paper,
            "figure.facecolor": look.paper,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "axes.prop_cycle": cycler(color=look.cycle),
            "font.family": ["sans-serif"],
            "font.sans-serif": [FONT],
            "legend.frameon": False,
            "legend.fontsize": "small",
            "lines.linewidth": 1.8,
            "patch.linewidth": 0,
            "savefig.dpi": _DPI,
        }
    )


class Picture:
    """A figure for a page: both variants, alt text, caption. Notebooks show it by itself.

    Attributes:
        images: PNG files of the light and the dark variant.
        narrow: the same, drawn for a phone; empty where the figure has one drawing only.
    """

    def __init__(self, images: dict[str, bytes], alt: str, caption: str, narrow: dict[str, bytes] | None = None):
        self.images = images
        self.narrow = narrow or {}
        self.alt = alt
        self.caption = caption

    def __repr__(self) -> str:
        return f"Picture({self.alt!r})"

    @property
    def inches(self) -> float:
        """How wide it was drawn."""
        pixels = int.from_bytes(self.images["light"][16:20], "big")  # where a PNG says so
        return pixels / _DPI

    def _repr_html_(self) -> str:
        # The book's style sheet swaps the two; elsewhere (Colab, JupyterLab) only the light one shows.
        hidden = {"light": "", "dark": ' style="display:none"'}
        pictures = "".join(
            f'{self._for_phones(theme)}<img class="ul-{theme} dark-light" alt="{escape(self.alt)}"{hidden[theme]} '
            f'src="{_inline(data)}">{"</picture>" if self.narrow else ""}'
            for theme, data in self.images.items()
        )
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        wide = f";--ul-inches:{self.inches:.1f}" if self.inches > _WIDE and not self.narrow else ""
        return f'<figure class="ul-figure" style="max-width:100%;margin:0{wide}">{pictures}{caption}</figure>'

    def _for_phones(self, theme: str) -> str:
        """The start of a `<picture>` that holds a narrow drawing, where there is one."""
        if not self.narrow:
            return ""
        return f'<picture><source media="(max-width: 600px)" srcset="{_inline(self.narrow[theme])}">'


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def show(
    draw: Callable[..., None],
    *,
    alt: str,
    caption: str = "",
    panels: int = 1,
    columns: int | None = None,
    size: tuple[float, float] = (6.4, 3.6),
    narrow: Callable[..., None] | bool = True,
    narrow_height: float | None = None,
) -> Picture:
    """Draw a figure once for light and once for dark pages; if it is too wide for a phone, for phones as well.

    Args:
        draw: called with ``panels`` axes; use colours "C0", "C1", … and the property cycle.
        alt: what the figure shows, for readers who do not see it.
        caption: what the figure says.
        panels: number of axes.
        columns: axes in a row; None puts all in one.
        size: of the whole figure, in inches.
        narrow: for phones: True calls ``draw`` again on less width, panels one below the other; a single panel wider
            than 7.5 inches keeps its one drawing, and scrolls; False leaves it at the one drawing; a function is
            called with one axes.
        narrow_height: of the whole figure for phones, in inches; None keeps the height of every panel.

    Raises:
        ValueError: an empty alt text.

    Warns:
        UserWarning: characters that no font of this machine holds.
    """
    if not alt.strip():
        raise ValueError("alt is empty; say in a sentence what the figure shows")
    columns = columns or panels
    rows = -(-panels // columns)
    images, missing = _drawn(draw, panels, columns, size)
    small: dict[str, bytes] = {}
    if callable(narrow):
        small, _ = _drawn(narrow, 1, 1, (_PHONE, narrow_height or size[1]))
    elif narrow and size[0] > _PHONE and (panels > 1 or size[0] <= _WIDE):
        across = 1 if panels <= _FEW else 2
        height = narrow_height or -(-panels // across) * size[1] / rows / across**0.5
        small, _ = _drawn(draw, panels, across, (_PHONE, height))
    warn_of(missing)
    return Picture(images, alt, caption, small)


def legend_below(*axes: Any, abreast: int = 4) -> None:
    """One legend for all panels, below the figure, where no mark can be: an entry for each label, once.

    Args:
        axes: the panels.
        abreast: so many entries stand side by side; two on a phone.
    """
    _legend(axes, abreast, loc="upper center", bbox_to_anchor=(0.5, 0.0))


def legend_above(*axes: Any, abreast: int = 4) -> None:
    """The same above the figure: for a long one, whose marks a reader would meet long before a legend below.

    Args:
        axes: the panels.
        abreast: so many entries stand side by side; two on a phone.
    """
    _legend(axes, abreast, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _legend(axes: Sequence[Any], abreast: int, **place: Any) -> None:
    """A legend of the whole figure: an entry for each label of these panels, once."""
    named: dict[str, Any] = {}
    for ax in axes:
        named |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure = axes[0].figure
    abreast = min(abreast if figure.get_figwidth() > _PHONE else 2, len(named))
    figure.legend(handles=list(named.values()), labels=list(named), ncols=abreast, **place)


def _drawn(
    draw: Callable[..., None], panels: int, columns: int, size: tuple[float, float]
) -> tuple[dict[str, bytes], set[str]]:
    """PNG files by theme, and the characters that no font of this machine holds."""
    images, missing, own = {}, set[str](), reader_fonts()
    for theme in THEMES:
        with mpl.rc_context(style(theme)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")  # said later, once for all
            if size[0] == _PHONE:
                warnings.filterwarnings("ignore", message="Tight layout not applied")  # long names: a phone is narrow
            figure, axes = plt.subplots(-(-panels // columns), columns, figsize=size, squeeze=False)
            try:
                for empty in axes.flat[panels:]:
                    empty.set_visible(False)
                draw(*axes.flat[:panels])
                missing = fit_fonts(figure, own)
                figure.tight_layout()
                buffer = io.BytesIO()
                figure.savefig(buffer, format="png", bbox_inches="tight")
                images[theme] = buffer.getvalue()
            finally:
                plt.close(figure)
    return images, missing
