"""`python -m streams.cli` is `reprieve`."""

from streams.cli import main

main()
