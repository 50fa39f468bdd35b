"""What the scripts share: the error that is the caller's to mend, and writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


class InputError(Exception):
    """What is wrong with the files given, and what to do: one sentence."""


def write_whole(path: Path, content: bytes) -> None:
    try:
        replace(path, content)
    except OSError as err:  # which would name the temporary file, or none
        raise InputError(f"{path}: {err.strerror}; make room there, or choose a folder that can be written") from err


def replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            file.close()  # Windows removes no open file
            os.unlink(file.name)
            raise
