"""Policy packs: rules as data, each with its source, read, checked and merged into a policy."""
