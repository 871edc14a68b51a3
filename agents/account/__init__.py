"""The account agent: folds the facts of one loan account and decides on its delinquency, plans and bad debt."""
