"""Imported first by `python -m moltbot_gateway`: nothing that is imported then is garbage, and looking for it takes a tenth of the start.

`main` switches the collector on again, and has it leave alone what stays for good (`gc.freeze`).
"""

from __future__ import annotations

import gc

gc.disable()
