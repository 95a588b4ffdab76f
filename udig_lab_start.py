"""The command ``udig-lab`` from its first moment: importing takes seconds, in which Ctrl-C is answered, too."""

import sys


def main() -> int:
    """Import the command line and run it."""
    try:
        from udig_lab.cli import main as run

        return run()
    except KeyboardInterrupt:
        print("udig-lab: stopped", file=sys.stderr)
        return 130  # as in udig_lab.cli


if __name__ == "__main__":
    sys.exit(main())
