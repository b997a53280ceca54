"""Files that hold keys: read whole, and refused where anybody else could read them too."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import ConfigurationError

CREDENTIAL = "credential:"
"""Begins a path that names a credential of systemd instead (systemd.exec(5), LoadCredential=)."""

# A key file has two lines of some 70 characters, and room for comments.
KEY_FILE_BYTES_MAX = 4_096


def key_path(text: str, environ: Mapping[str, str]) -> Path:
    """The file that a configuration means: `credential:NAME` is NAME in $CREDENTIALS_DIRECTORY, where systemd
    puts a service's secrets. Raises ConfigurationError where there is none.
    """
    if not text.startswith(CREDENTIAL):
        return Path(text)
    name, folder = text.removeprefix(CREDENTIAL), environ.get("CREDENTIALS_DIRECTORY", "")
    if not name or "/" in name or name in {".", ".."}:
        raise ConfigurationError(f"key file {text}: {name!r} is no name of a credential")
    if not folder:
        raise ConfigurationError(
            f"key file {text}: $CREDENTIALS_DIRECTORY is not set, which a service with LoadCredential= has"
        )
    return Path(folder) / name


def read_key_file(path: Path) -> str:
    """The text of a key file, which the core reads (`keys` of Publisher and Receiver).

    The group may read it, so that publisher and consumers can be different users; others may not, and nobody
    but its owner may write it. Raises ConfigurationError that names the file, never its content.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"key file {path}: {error.strerror}") from None
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigurationError(
            f"key file {path}: others can read or write it (mode {mode:04o}), allowed is 0600 or 0640: "
            f"chmod 600 {path}"
        )
    if len(content) > KEY_FILE_BYTES_MAX:
        raise ConfigurationError(f"key file {path}: more than {KEY_FILE_BYTES_MAX} bytes are no key file")
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise ConfigurationError(f"key file {path}: it is no ASCII text") from None


def read_named_values(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The lines `name = value` of a key file: every one of `names` once, and no other. Empty lines and those
    that begin with # say nothing. Raises ConfigurationError that names file and line, never a value.
    """
    values: dict[str, str] = {}
    wanted = ", ".join(names)
    for number, line in enumerate(read_key_file(path).splitlines(), 1):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or name.startswith("#"):
            continue
        if not equals or name not in names or name in values or not value:
            raise ConfigurationError(
                f"key file {path}: line {number} is not one of `name = value`, each once: {wanted}"
            )
        values[name] = value
    missing = [name for name in names if name not in values]
    if missing:
        raise ConfigurationError(f"key file {path}: {', '.join(missing)} is missing; it has {wanted}")
    return values
