"""The shape of a kind."""

from __future__ import annotations


class Schema:
    pass
