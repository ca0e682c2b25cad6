"""The command line as tests run it: in a process of its own, by this interpreter, installed or not."""

import sys

PROVEOUT = [sys.executable, "-c", "from proveout.cli import main; main()"]
