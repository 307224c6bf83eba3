"""What stands for a key where the key itself must not be shown."""

from hashlib import sha256


def fingerprint(key: str) -> str:
    """Return twelve digits by which a key can be told from others, and not be found."""
    return sha256(key.encode()).hexdigest()[:12]
