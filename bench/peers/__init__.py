"""Other engines that do the account agent's work, to be measured beside Reprieve."""
