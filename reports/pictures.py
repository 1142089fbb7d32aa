"""A plot as PNG or SVG, drawn on white by vl-convert: Vega in a JavaScript engine of its own, without a browser."""

from __future__ import annotations

from reports.vega_parts import Spec

VEGA_LITE = "6"
"""Major version that the specifications are written for."""
WIDTH = 900
"""Pixels of a plot that names no width."""
SCALE = 2.0
"""PNG pixels a pixel: sharp on paper and on dense screens."""
FONT = "Noto Sans, Noto Sans CJK SC, DejaVu Sans, sans-serif"


def png(spec: Spec) -> bytes:
    """The plot as PNG."""
    import vl_convert

    picture: bytes = vl_convert.vegalite_to_png(_on_paper(spec), vl_version=version(), scale=SCALE)
    return picture


def svg(spec: Spec) -> str:
    """The plot as SVG, its texts as texts."""
    import vl_convert

    picture: str = vl_convert.vegalite_to_svg(_on_paper(spec), vl_version=version())
    return picture


def version() -> str:
    """The newest Vega-Lite of that major version that vl-convert has, e.g. `6.4`."""
    import vl_convert

    return str([v for v in vl_convert.get_vegalite_versions() if v.split(".")[0] == VEGA_LITE][-1])


def _on_paper(spec: Spec) -> Spec:
    fonts = {"font": FONT, "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}}
    return {"width": WIDTH, "background": "white", "padding": 12, "config": fonts, **spec}
