"""The official Moltbot WebSocket protocol, versions 3 and 4, without any I/O: frames, the opening, identity, the method table and its
params.

The router speaks the opening and serves what the table gives to it; the gateway serves the rest. Both validate by this package alone.
"""

PROTOCOL_MIN = 3
PROTOCOL_MAX = 4
