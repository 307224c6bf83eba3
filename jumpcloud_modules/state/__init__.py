"""What lasts across restarts, on a disk or on S3, and whose it is.

Knows nothing of where events come from or go to.
"""
