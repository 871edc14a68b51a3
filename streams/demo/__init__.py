"""The demonstration: a simulated population on the local runtime, shown in the terminal."""
