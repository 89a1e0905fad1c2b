"""The command `twin`, also as `python -m twin`."""

import os
import sys

from twin.cli import main


def script() -> None:
    """Run the command line. Who fails or is stopped leaves at once.

    A thread may still be compiling a program (`flight`), which nothing can cut short, and Python
    would wait for it: half a minute on slow cores, after the last word was said.
    """
    try:
        main()
    except SystemExit as end:
        if not end.code:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


if __name__ == "__main__":
    script()
