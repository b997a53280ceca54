"""`python -m outcrier` is `outcrier`."""

from outcrier.cli import main

main()
