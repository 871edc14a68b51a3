"""What is served by HTTP: sign-in and permissions, the intake of events, health and metrics."""
