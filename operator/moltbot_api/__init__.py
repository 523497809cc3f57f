"""The resources of group ``moltbot.dev`` as typed models, and every name that more than one process must agree on.

Pure: no I/O, no Kubernetes client. ``crds/`` is generated from here (``make fix``).
"""
