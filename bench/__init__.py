"""Benchmarks: medians, spread and ratios of the real agents; never a test's verdict."""
