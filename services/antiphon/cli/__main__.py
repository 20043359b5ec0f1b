"""`python -m antiphon.cli`, which is how a supervisor starts its children."""

from antiphon.cli.app import main

main()
