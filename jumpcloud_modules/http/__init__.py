"""HTTP as both ends are spoken to: bounded, paced, and without keys in messages.

Knows neither JumpCloud nor Sekoia.
"""
