"""One folder of files, on a disk or on S3, that hides which of the two it is.

Each file is whole or absent, as `storage` writes it. Knows nothing of what the files hold.
"""

from pathlib import Path

from jumpcloud_modules.state import storage


class Folder:
    """Keep files by name; each method raises StateUnavailable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def place(self, name: str) -> Path:
        """Return where a file is, or would be."""
        return self._path / name

    def sizes(self) -> dict[str, int]:
        """Return the names of all files, in order, and how many bytes each has."""
        return {path.name: size for path, size in sorted(storage.files(self._path).items())}

    def write(self, name: str, content: bytes) -> Path:
        """Write a file so that a crash leaves it whole or absent, and return where it is."""
        path = self.place(name)
        storage.write_atomically(path, content)
        return path

    def read(self, name: str) -> bytes | None:
        """Return a file's content, None where there is no such file."""
        return storage.read(self.place(name))

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        storage.remove(self.place(name))
