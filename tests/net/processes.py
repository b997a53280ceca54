"""The programs of the tests on their hosts: started, told, heard, and ended whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self, cast

from net.namespaces import Namespace, merged

PATIENCE_S: Final = 60.0
"""A busy machine is no failure; a program that says nothing for this long is."""

QUIET_S: Final = 5.0
"""After this long without faults every book has to be LIVE and equal."""

_TESTS: Final = Path(__file__).resolve().parent.parent


@dataclass
class Program:
    """A program that says a JSON object a line. Use as a context manager."""

    host: Namespace
    arguments: Sequence[str]
    environment: Mapping[str, str]
    said: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self.host.command(*self.arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=merged({"PYTHONPATH": str(_TESTS), "PYTHONUNBUFFERED": "1"}, self.environment),
        )
        self._errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._hear, args=(self._process.stdout, self._keep), daemon=True),
            threading.Thread(
                target=self._hear, args=(self._process.stderr, self._errors.append), daemon=True
            ),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            cast("IO[str]", pipe).close()

    @staticmethod
    def _hear(pipe: IO[str], keep: Callable[[str], None]) -> None:
        for line in pipe:
            keep(line)

    def _keep(self, line: str) -> None:
        if line.startswith("{"):
            self.said.append(json.loads(line))

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def errors(self) -> str:
        """What it complained about."""
        return "".join(self._errors)

    def tell(self, word: str) -> None:
        """A line on its standard input."""
        pipe = cast("IO[str]", self._process.stdin)
        pipe.write(word + "\n")
        pipe.flush()

    def ask(self, word: str) -> Any:
        """Tells a word and waits for the answer under that key."""
        after = len(self.said)
        self.tell(word)
        return self.until(word, after=after)[word]

    def signal(self, number: signal.Signals) -> None:
        """A signal to it alone."""
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Waits for its end; the exit code."""
        return self._process.wait(PATIENCE_S)

    def last(self, key: str) -> dict[str, Any] | None:
        """The last object with that key."""
        return next((each for each in reversed(self.said) if key in each), None)

    def until(self, key: str, *, after: int = 0, seconds: float = PATIENCE_S) -> dict[str, Any]:
        """Waits for the first object with that key behind the first `after` objects."""

        def found() -> dict[str, Any] | None:
            return next((each for each in self.said[after:] if key in each), None)

        until(lambda: found() is not None or not self.running, f"{key} from {self.arguments[-2]}", seconds)
        # It may have spoken and ended between the two questions.
        for thread in self._threads if not self.running else ():
            thread.join()
        answer = found()
        assert answer is not None, f"ended without {key!r}:\n{self.errors}"
        return answer


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    """Waits for `condition`; fails with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


def python(module: str, **options: Any) -> list[str]:
    """The words that run a program of these tests."""
    return [sys.executable, "-W", "error", "-m", module, json.dumps(options, default=str)]


def outcrier(*words: str) -> list[str]:
    """The words that run a verb."""
    return [sys.executable, "-W", "error", "-c", "from outcrier.cli import main; main()", *words]
