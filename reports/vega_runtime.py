"""Vega, Vega-Lite and Vega-Embed as one script for report.html, bundled by vl-convert without the network.

Bundling takes seconds and its outcome is the same for one version of vl-convert: it is kept in the user's cache folder.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version

from reports import user_cache

NOTICE = (
    "/* Vega, Vega-Lite, Vega-Embed, vega-interpreter: (c) UW Interactive Data Lab and contributors, BSD-3-Clause */\n"
)


@cache
def runtime() -> str:
    """A script that defines `window.drawVega(element, specification, options)`: Vega-Embed that asks for no eval."""
    snippet = (
        "window.drawVega = (element, specification, options) =>"
        " vegaEmbed(element, specification, { ...options, ast: true });\n"
    )
    told = f"{version('vl-convert-python')}\n{snippet}".encode()
    kept = user_cache.folder() / f"vega-{hashlib.sha256(told).hexdigest()[:32]}.js"
    try:
        return kept.read_text(encoding="utf-8")
    except OSError:
        script = _bundled(snippet)
        user_cache.keep(kept, lambda path: path.write_text(script, encoding="utf-8"))
        return script


def _bundled(snippet: str) -> str:
    """Nothing in it may end the script element that it is put into."""
    import vl_convert

    return NOTICE + str(vl_convert.javascript_bundle(snippet)).replace("</script", "<\\/script")
