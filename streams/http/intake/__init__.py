"""Signed events of partners, in over HTTP."""
