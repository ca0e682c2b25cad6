"""`python -m proveout`: the command line, where its script is not on the path."""

from proveout.cli import main

if __name__ == "__main__":
    main()
