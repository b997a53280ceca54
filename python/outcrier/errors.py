"""The exceptions of Outcrier, with the exit codes that the command line gives them.

OutcrierError
├── ConfigurationError   2: a file, key, flag, venue or symbol that cannot be; names it and what is allowed
├── CaptureError         3: a capture that is missing, truncated or corrupt; names file and line
└── NetworkError         4: a port in use, no multicast route, no exchange reachable, nothing heard
    └── SupersededError  5: another publisher has taken over our channel

What a venue sends never raises one of these: it becomes a counted fault.
"""

from __future__ import annotations

from typing import ClassVar


class OutcrierError(Exception):
    """Something a person can mend; `str(error)` is one clear line."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(OutcrierError):
    """A file, key, flag, venue or symbol that cannot be used as given."""

    exit_code = 2


class CaptureError(OutcrierError):
    """A capture file that is missing, truncated or corrupt."""

    exit_code = 3


class NetworkError(OutcrierError):
    """A socket that cannot be opened or a peer that cannot be reached."""

    exit_code = 4


class SupersededError(NetworkError):
    """Another publisher has taken over a channel of ours; starting again would only quarrel with it."""

    exit_code = 5
