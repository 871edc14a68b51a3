"""Fuzzing: hostile input for every door of the program, and what must be true whatever comes in."""
