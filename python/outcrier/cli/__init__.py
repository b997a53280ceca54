"""The command line: one thin module per verb. `outcrier --help` shows the verbs and the exit codes."""

from outcrier.cli.main import main

__all__ = ["main"]
