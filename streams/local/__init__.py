"""The local runtime: the same agents in one process, over an embedded durable log."""
