"""The engine: one partition's stream task, with no Kafka, no database and no clock in it."""
