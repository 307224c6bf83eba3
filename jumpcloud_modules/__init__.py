"""JumpCloud Directory Insights events, collected and pushed to a Sekoia intake."""
