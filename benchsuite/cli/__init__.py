"""The `benchsuite` command: one thin module per subcommand, nothing heavy imported before a command needs it.

Exit codes: 0 fine, 1 regression, 2 usage or configuration, 3 unclear (with --strict), 4 incomparable, 5 cases failed,
70 a fault of benchsuite itself or of what it has loaded, 130 interrupted, 141 nobody reads the output.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from typing import Any

import typer
import typer.core

from benchsuite import extras
from benchsuite.cli import exit_codes
from benchsuite.errors import UserError
from benchsuite.text import plain

# Refusals of a disk or of the system are told in their own words; they are no fault of the program.
REFUSED = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE,
    errno.ENOMEM, errno.ENAMETOOLONG, errno.ELOOP,
)  # fmt: skip


def build_app() -> typer.Typer:
    """The Typer application with all commands."""
    from benchsuite.cli import (
        baseline,
        calibrate,
        compare,
        doctor,
        evaluate,
        export,
        gate,
        history,
        kernels,
        pack,
        peers,
        plan,
        pretrain,
        report,
        run,
        selftest,
    )
    from benchsuite.cli import list as list_
    from benchsuite.cli import open as open_

    app = typer.Typer(
        name="benchsuite",
        cls=_Group,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def benchsuite(
        version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
    ) -> None:
        """Measure what an architectural choice of a language model costs in speed and buys in zero-shot quality.

        Start with `benchsuite run quick`: a quarter of an hour on two CPU cores, then a report.
        """
        if version:
            from benchsuite import __version__

            print(__version__)
            raise typer.Exit

    panels = {
        "Measure": {"doctor": doctor, "list": list_, "plan": plan, "run": run, "report": report, "open": open_},
        "Compare": {"compare": compare, "gate": gate, "calibrate": calibrate, "history": history},
        "Models": {"pretrain": pretrain, "evaluate": evaluate},
        "Check benchsuite itself": {"selftest": selftest, "peers": peers, "pack": pack},
        "Exchange data": {"export": export},
    }
    for panel, modules in panels.items():
        for name, module in modules.items():
            app.command(name, rich_help_panel=panel)(module.command)
    app.command("import", rich_help_panel="Exchange data")(export.import_command)
    app.add_typer(baseline.app, name="baseline", rich_help_panel="Compare")
    app.add_typer(kernels.app, name="kernels", rich_help_panel="Check benchsuite itself")
    return app


class _Group(typer.core.TyperGroup):
    """The commands. Keep some exceptions from typer, which would exit with 1, the code of a regression."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (SystemExit, KeyboardInterrupt, EOFError, OSError) as error:
            raise _Raised(error) from error


class _Raised(Exception):  # noqa: N818 - carries one
    """Carry the exception of a command past typer."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


def main() -> None:
    """Run the command line and exit with its code, whatever is raised; a UserError is printed without a traceback."""
    with contextlib.suppress(AttributeError):  # what the terminal's encoding lacks must not end a command
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if sys.platform != "linux":
        sys.exit(_say("benchsuite runs on Linux only", "use a Linux machine, a container or WSL", exit_codes.USAGE))
    try:
        try:
            build_app()()
        finally:
            sys.stdout.flush()  # what cannot be written is told here, not when the exit code is decided
    except SystemExit:  # typer's, with the code of a command or of wrong usage
        raise
    except _Raised as raised:
        code = _code(raised.error)
    except BaseException as error:
        code = _code(error)
    sys.exit(code)


def _code(error: BaseException) -> int:
    """Print `error` on stderr; return its exit code."""
    match error:
        case UserError():
            return _say(error.message, error.hint, error.exit_code)
        case ModuleNotFoundError() if absent := extras.missing(error):
            return _say(absent.message, absent.hint, absent.exit_code)
        case KeyboardInterrupt():
            return _say("interrupted", "", exit_codes.INTERRUPTED)
        case SystemExit(__context__=BrokenPipeError()):  # what rich makes of it
            return exit_codes.UNREAD
        case OSError() if error.errno == errno.EPIPE:  # `benchsuite list tasks | head`
            _drop_output()
            return exit_codes.UNREAD
        case OSError() if error.errno in REFUSED:
            _drop_output()
            return _say(
                f"{error.filename or 'the output'} cannot be read or written: {error.strerror}", "", exit_codes.USAGE
            )
        case SystemExit():
            hint = "a command of benchsuite does not end so; a plug-in, a test or a library did"
            return _say(f"something that was loaded called sys.exit({error.code!r})", hint, exit_codes.FAULT)
    traceback.print_exception(error)  # a fault, or a library's panic, which is no Exception
    return exit_codes.FAULT


def _say(message: str, hint: str, code: int) -> int:
    with contextlib.suppress(OSError):  # nobody reads it
        print(f"benchsuite: {plain(message)}", file=sys.stderr)
        if hint:
            print(f"  -> {plain(hint)}", file=sys.stderr)
    return code


def _drop_output() -> None:
    """Discard what is left in the buffer of stdout, which would make the interpreter fail at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
