"""What a person types: collecting without a platform, and looks at a connector from outside.

The platform runs none of it.
"""
