"""The learner: what offers became of, and which option is recommended because of it."""
