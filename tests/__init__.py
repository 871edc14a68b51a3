"""The tests, and what searches for faults."""
