"""Personal data: sealed at rest, erased with its key, read for a purpose and on the record."""
