"""The `benchsuite` command: one thin module per subcommand, nothing heavy imported before a command needs it.

Exit codes: 0 fine, 1 regression, 2 usage or configuration, 3 unclear (with --strict), 4 incomparable, 5 cases failed,
70 a fault of benchsuite itself, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import sys
import traceback

import typer

from benchsuite.errors import UserError
from benchsuite.text import plain

EXIT_FAULT = 70  # EX_SOFTWARE of sysexits.h


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
        peers,
        plan,
        pretrain,
        report,
        run,
        selftest,
    )
    from benchsuite.cli import list as list_

    app = typer.Typer(
        name="benchsuite",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def benchsuite(
        version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
    ) -> None:
        """What an architectural choice of a language model costs in speed, and what it buys in zero-shot quality.

        Start with [bold]benchsuite run quick[/bold]: some minutes on two CPU cores, and a report.
        """
        if version:
            from benchsuite import __version__

            print(__version__)
            raise typer.Exit

    for name, command in (
        ("run", run.command),
        ("report", report.command),
        ("compare", compare.command),
        ("gate", gate.command),
        ("calibrate", calibrate.command),
        ("history", history.command),
        ("plan", plan.command),
        ("list", list_.command),
        ("doctor", doctor.command),
        ("pretrain", pretrain.command),
        ("evaluate", evaluate.command),
        ("peers", peers.command),
        ("selftest", selftest.command),
        ("export", export.command),
        ("import", export.import_command),
    ):
        app.command(name)(command)
    app.add_typer(baseline.app, name="baseline")
    app.add_typer(kernels.app, name="kernels")
    return app


def main() -> None:
    """Runs the command line; a UserError is printed without a traceback and becomes its exit code."""
    with contextlib.suppress(AttributeError):  # what the terminal's encoding lacks must not end a command
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        build_app()()
    except UserError as error:
        print(f"benchsuite: {plain(error.message)}", file=sys.stderr)
        if error.hint:
            print(f"  -> {plain(error.hint)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `benchsuite list tasks | head`
        sys.stderr.close()
        sys.exit(141)
    except Exception:  # a fault of benchsuite's own must not look like a regression, which is 1
        traceback.print_exc()
        sys.exit(EXIT_FAULT)
