"""Measure the gateway beside others that do the same job; see bench/README.md."""
