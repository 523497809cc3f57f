"""Measurements: each compares with a floor or a peer in the same run, for machines differ and drift (docs/benchmarks.md)."""
