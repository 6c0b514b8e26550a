"""Ours and every peer side by side: the figures of docs/benchmarks.md."""
