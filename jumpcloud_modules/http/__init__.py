"""HTTP as both ends are spoken to: bounded, with a backoff, and without keys in messages.

Knows neither JumpCloud nor Sekoia.
"""
