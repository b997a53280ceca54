"""What a venue says beside its data: what follows for the connection that said it, and for the session."""

from __future__ import annotations

from collections.abc import Callable

from outcrier.clock import mono_ns
from outcrier.feeder.drift import SchemaDrift
from outcrier.feeder.driver import ConnectionDriver
from outcrier.feeder.reach import Reach
from outcrier.venues.base import (
    Ack,
    Control,
    Error,
    InstrumentStatus,
    Pong,
    Reply,
    Several,
    Shutdown,
    Unknown,
    refused,
)


class Talk:
    """Takes control messages of all connections of a session."""

    def __init__(self, reach: Reach, drift: SchemaDrift, set_status: Callable[[str, int], None]) -> None:
        """`set_status` takes native symbol and trading status."""
        self.refused = 0
        """Streams that the venue refused."""
        self._reach = reach
        self._drift = drift
        self._set_status = set_status

    def take(self, driver: ConnectionDriver, control: Control) -> None:
        """Does what a message asks for."""
        now_ns = mono_ns()
        match control:
            case Several(controls=controls):
                for each in controls:
                    self.take(driver, each)
            case Ack(count=count, streams=streams):
                driver.granted.update(streams or ())
                driver.acknowledged(now_ns, count)
            case Pong():
                driver.ponged(now_ns)
            case Reply(text=text):
                driver.reply(now_ns, text)
            case Error(code=code, message=message, stream=stream, is_over=is_over):
                self._reach.note(f"conn={driver.conn_id} error", f"{stream or ''} {code}: {message}")
                if stream is None or is_over:
                    driver.apply(driver.machine.rejected(now_ns, f"{code}: {message}", is_over=is_over))
                else:  # The others are not concerned.
                    self.refused += 1
                    driver.acknowledged(now_ns)
            case Shutdown():
                driver.apply(driver.machine.shutdown_announced(now_ns))
            case InstrumentStatus(native_symbol=native, status=status):
                self._set_status(native, status)
            case Unknown(name=name):
                self._drift.message(name)

    def note_refused(self, driver: ConnectionDriver) -> None:
        """Some venues refuse a stream by leaving it out of the answer: told once a link."""
        if not driver.granted:
            return
        missing = refused(driver.planned.streams, Ack(streams=tuple(driver.granted)))
        fresh = [error for error in missing if error.stream not in driver.missing]
        driver.missing = {error.stream for error in missing if error.stream}
        for error in fresh:
            self.refused += 1
            self._reach.note(f"conn={driver.conn_id} error", f"{error.stream} {error.message}")
