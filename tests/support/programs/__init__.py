"""Programs that tests run as processes."""
