"""The confined child: a program of its own, in which every tool that touches files or runs programs does its work.

It imports nothing of the gateway and holds none of its keys. `confinement` shuts it in, `host` takes requests and starts one worker
process each, `reading`, `writing`, `search` and `programs` are what workers do. What crosses its edge is in docs/reference/agent.md.
"""
