"""What is said: the Avro contracts, the typed events made from them, and the codec."""
