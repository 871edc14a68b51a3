"""What is true of an account, a borrower, a learner: pure state and the rules that are data."""
