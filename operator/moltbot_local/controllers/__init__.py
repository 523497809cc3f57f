"""The controllers of the miniature Kubernetes.

Each is a pure `decide_…` (objects and time in, actions out) and a thin class that carries it out; `loop` runs them all. They are
level-triggered: what they do depends on what is stored now, and a restart changes nothing.
"""
