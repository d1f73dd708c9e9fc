"""How every picture looks, and how a figure becomes pixels or a piece of a page."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#22303c"
MUTED = "#5b6b7a"
GRID = "#d9dfe5"
PAPER = "#fefefe"
TOUR = "#1f5fa8"
REFERENCE = "#e0893a"
START = "#c8283c"
SERIES = (TOUR, "#d1661c", "#1d8a6b", "#8a4fb0", "#b58900", "#c0397a", "#4f7d1f", "#5a6fd6")
"""Colors of curves that are compared, in this order; a ninth starts again."""

PAGE_COLORS = {
    "ink": INK, "muted": MUTED, "grid": GRID, "paper": PAPER, "reference": REFERENCE, "start": START,
    **{f"series-{i}": color for i, color in enumerate(SERIES)},
}  # fmt: skip
"""Name of a CSS variable (after `--plot-`) that a page may set -> the color where it does not."""

_DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches; without pyplot, so that nothing is kept behind."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor=PAPER)


def dress(panel: Axes, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Labels, and the frame of a plot: a quiet grid below the curves, axes at the left and the bottom only."""
    panel.set_facecolor(PAPER)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        panel.spines[side].set_color(GRID)
    panel.tick_params(colors=MUTED, labelcolor=MUTED, labelsize=9)
    panel.grid(color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.set_xlabel(xlabel, color=MUTED, fontsize=10)
    panel.set_ylabel(ylabel, color=MUTED, fontsize=10)
    if title:
        panel.set_title(title, color=INK, fontsize=10, loc="left")


def legend(panel: Axes, **options: Any) -> None:
    """A legend without a frame."""
    panel.legend(frameon=False, fontsize=9, labelcolor=INK, **options)


def percent(value: float, sign: bool = False) -> str:
    """A fraction as percent, with as many digits as its size asks for: 0.1234 -> `12.3 %`, 0.00046 -> `0.046 %`.

    What would read 0.000 is `0 %`, with `sign`, too.
    """
    shown = 100 * value
    if abs(shown) < 0.0005:
        return "0 %"
    digits = 1 if abs(shown) >= 10 else 2 if abs(shown) >= 1 else 3
    return f"{shown:{'+' if sign else ''}.{digits}f} %"


def percent_axis(axis: Any) -> None:
    """Ticks of an axis of fractions, read as percent."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))


def plain_log_axis(axis: Any) -> None:
    """Ticks of a logarithmic axis that spans a decade or two, as plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def to_pixels(figure: Figure) -> NDArray[np.uint8]:
    """`[H, W, 3]` RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()


def to_png(figure: Figure) -> bytes:
    """A PNG file; equal figures give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    return out.getvalue()


def picture_file(figure: Figure, suffix: str, description: str) -> bytes:
    """Content of a picture's file: PNG for the suffix `.png`, else SVG."""
    return to_png(figure) if suffix == ".png" else to_svg(figure, "tspmz", description).encode()


def to_svg(figure: Figure, name: str, description: str) -> str:
    """An `<svg>` element for a page: text stays text, and colors are those of the page where it names them.

    Args:
        figure: drawn with the colors of this module.
        name: of the picture, unique on the page: letters, digits and hyphens.
        description: what it shows, for those who cannot see it.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    width, height = (float(word) for word in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0])
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    # identifiers that matplotlib numbers from 1 in every figure must differ on a page that holds several
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for variable, color in PAGE_COLORS.items():
        text = text.replace(color, f"var(--plot-{variable}, {color})")
    text = re.sub(r"'DejaVu Sans'(?:, '[^']*')*, sans-serif", "var(--plot-font, sans-serif)", text)
    head = (
        f'<svg role="img" aria-labelledby="{name}-description" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" style="stroke-linejoin: round" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-description">{escape(description)}</title>'
    )
    return head + text[text.index(">") + 1 :].strip()
