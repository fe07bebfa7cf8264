"""Benchmarks: figures of the README, measured against a limit or a peer in the same run."""
