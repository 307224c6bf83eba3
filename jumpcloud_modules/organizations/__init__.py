"""Many organizations in one process: who polls when, and what they share."""
