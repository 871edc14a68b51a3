"""`reprieve` where the package cramjam is not installed."""

import sys

sys.modules["cramjam"] = None  # type: ignore[assignment]

from streams.cli import main  # noqa: E402

main()
