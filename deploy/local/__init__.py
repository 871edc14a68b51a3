"""Apache Kafka and Redis on this machine, for development and tests: real servers, on loopback only."""
