"""JumpCloud's API: requests, checks of what it promises, and its time.

Knows nothing of what was delivered.
"""
