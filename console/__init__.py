"""The console: a page on which operators see what Reprieve does, and look up one account or borrower."""
