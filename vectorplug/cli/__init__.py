"""What a person types."""

import sys

from vectorplug.cli.app import app
from vectorplug.cli.console import print_error
from vectorplug.errors import VectorplugError

__all__ = ["main"]


def main() -> None:
    """Run the command line: exit 0 done, 1 failed (one line that says why and what to do), 2 wrong use."""
    try:
        app()
    except VectorplugError as error:
        print_error(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        print_error("interrupted; the same command goes on where this one stopped.")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe went away, as `| head` does
        sys.exit(0)
