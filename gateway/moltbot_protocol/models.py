"""Names of models that more than one process has to agree on: the operator writes one into the pod, the gateway asks for it.

The default is the newest balanced Claude (Sonnet) that the pinned Anthropic SDK names; a test says so when the pin moves
(tests/gateway/test_default_model.py). The SDK itself is never imported here.
"""

from __future__ import annotations

DEFAULT_MODEL = "claude-sonnet-5-5"
# The built-in offline model; asked for by this name.
DEMO_MODEL = "demo"
