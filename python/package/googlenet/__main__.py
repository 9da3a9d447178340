"""The command: `python -m googlenet classify`, or `googlenet classify`."""

import signal
import sys

from . import _native


def main() -> int:
    """Run the command with the process's arguments; returns its exit code."""
    # The command has no Python in it that could end it on Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.main(["googlenet", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
