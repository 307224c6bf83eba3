"""JumpCloud: how it is asked, what it promises, and what time it is there.

Knows nothing of what was delivered.
"""
