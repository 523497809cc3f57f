"""Bytes: the port of people's traffic. `server` is the HTTP side, `connection` one WebSocket, `outbox` what waits to be written to it,
`dispatch` what is done with a frame. Nothing here decides what a method does.
"""
