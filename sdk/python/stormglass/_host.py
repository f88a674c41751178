"""The server's functions: the real ones in a component, a test's own in `stormglass.testing`.

`functions` maps the name of an import, as in WIT, to a module or object with its functions. The entry of the component fills
it with what the component imports.
"""

from __future__ import annotations

from typing import Any

functions: dict[str, Any] = {}


def of(interface: str) -> Any:
    """The functions of an import."""
    try:
        return functions[interface]
    except KeyError:
        raise RuntimeError(
            f"stormglass.{interface} is not there: name it under `uses:` in plugin.yaml, "
            "or use stormglass.testing.Host in a test"
        ) from None
