"""A plain collector to measure against."""
