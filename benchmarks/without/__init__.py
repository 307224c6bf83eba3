"""The connector less one contraption."""
