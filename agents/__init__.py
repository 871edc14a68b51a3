"""What is done about it: pure decisions, one module an agent."""
