"""The planner: what is known of a borrower, and the offers that follow from it."""

SOURCE = "reprieve.planner"
