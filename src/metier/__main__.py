"""The ``metier`` command, also as ``python -m metier``: from its first moment on, a signal ends it with a line."""

import sys

from metier.core.stop import RESUMES, exit_code, stoppable
from metier.core.threads import wait_briefly


def main() -> None:
    """Run the command line and exit with its code."""
    wait_briefly()
    with stoppable() as arrived:
        try:
            from metier.cli import run_cli  # a third of a second, in which a signal may come too

            code = run_cli(sys.argv[1:])
        except BaseException:
            if not arrived:
                raise
            print(RESUMES, file=sys.stderr)
            code = exit_code(arrived[0])
    if code and arrived:  # it may have come out of a library as another error
        code = exit_code(arrived[0])
    sys.exit(code)


if __name__ == "__main__":
    main()
