"""Quantities (`500m`, `1Gi`) in the one form in which the API answers them.

Source: `k8s.io/apimachinery/pkg/api/resource`: no fraction, the largest suffix that leaves none, binary suffixes stay binary.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))((?:[KMGTPE]i)|[numkMGTPE]|[eE][+-]?\d+)?")
WORDS = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_NANO = Decimal("1e-9")


def parse(text: str) -> tuple[Decimal, str]:
    """(value, format: `binary` | `decimal` | `exponent`). Raises ValueError for what is no quantity."""
    found = _FORM.fullmatch(text.strip())
    if not found:
        raise ValueError(WORDS)
    number, suffix = Decimal(found[1]), found[2] or ""
    if suffix in _BINARY:
        return number * 1024 ** _BINARY[suffix], "binary"
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix]), "decimal"
    return number.scaleb(int(suffix[1:])), "exponent"


def canonical(text: str) -> str:
    """Raises ValueError."""
    value, form = parse(text)
    value = value.quantize(_NANO, rounding=ROUND_UP)
    if not value:
        return "0"
    if form == "binary" and abs(value) >= 1024 and value == value.to_integral_value():
        whole, power = int(value), 0
        while whole % 1024 == 0 and power < 6:
            whole, power = whole // 1024, power + 1
        return f"{whole}{['', *_BINARY][power]}"
    mantissa, exponent = int(value.scaleb(9)), -9
    while mantissa % 1000 == 0 and exponent < 18:
        mantissa, exponent = mantissa // 1000, exponent + 3
    if form == "exponent":
        return f"{mantissa}e{exponent}" if exponent else str(mantissa)
    return f"{mantissa}{next(suffix for suffix, power in _DECIMAL.items() if power == exponent)}"
