"""`python -m antiphon.cli`, which is how a supervisor starts its children."""

from antiphon.cli.app import main

if __name__ == "__main__":  # a worker's processes import it anew
    main()
