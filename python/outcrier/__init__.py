"""Outcrier: exchange feeds in, exact L2 books out over UDP multicast to every process that listens.

    from outcrier import Subscriber

    with Subscriber("crypto", symbols=["BTC/USDT@binance"]) as sub:
        for event in sub:
            print(event)

Names are loaded when they are used, so that a feeder does not load the consumer and the other way round.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from outcrier._core import __version__
    from outcrier.batch import Batch
    from outcrier.errors import CaptureError, ConfigurationError, NetworkError, OutcrierError
    from outcrier.events import Event
    from outcrier.recorded import replay_batches
    from outcrier.subscriber import Subscriber
    from outcrier.views import BookView, Instrument, Level, State

__all__ = [
    "Batch",
    "BookView",
    "CaptureError",
    "ConfigurationError",
    "Event",
    "Instrument",
    "Level",
    "NetworkError",
    "OutcrierError",
    "State",
    "Subscriber",
    "__version__",
    "replay_batches",
]

_HOMES: Final = {
    "Batch": "batch",
    "BookView": "views",
    "CaptureError": "errors",
    "ConfigurationError": "errors",
    "Event": "events",
    "Instrument": "views",
    "Level": "views",
    "NetworkError": "errors",
    "OutcrierError": "errors",
    "State": "views",
    "Subscriber": "subscriber",
    "__version__": "_core",
    "replay_batches": "recorded",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value
