"""Imported first by the programs of the gateway image: PyJWT then finds no `cryptography`, and `import jwt` costs half of what it would.

The image has that package for the sake of `mcp`, which only the children that speak to MCP servers import. Here only HMAC is used, which
PyJWT does with the standard library. `None` in `sys.modules` makes an import fail (Python's reference, "The module cache").
"""

from __future__ import annotations

import sys

sys.modules.setdefault("cryptography", None)  # type: ignore[arg-type]
