"""How does a file change so that nobody ever reads half of it?"""

import os
import tempfile
from pathlib import Path


def write(path: str | Path, text: str) -> None:
    """Write ``text`` so that the file is always either the old or the whole new one."""
    write_bytes(path, text.encode())


def write_bytes(path: str | Path, content: bytes) -> None:
    """The same for bytes."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
