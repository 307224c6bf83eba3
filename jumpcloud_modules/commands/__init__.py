"""The commands: collecting without a platform, and looking at a connector from outside.

The platform runs none of it.
"""
