"""The command `syncbridge`: one module per verb, one place where errors become sentences and exit codes."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Annotated

import typer

from bridge.cli import broker, check, deadletter, deletes, demo, run, schemas, simulate, tail, topics, verify
from bridge.errors import BridgeError
from bridge.operate import logs

app = typer.Typer(
    name="syncbridge",
    help="A lossless bridge from the Tradovate / NinjaTrader user/syncrequest stream to Apache Kafka.",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
app.command()(run.run)
app.command()(demo.demo)
# The simulator has a command line of its own, made from its options: it can be used without the bridge.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(
    simulate.simulate
)
app.command()(check.check)
app.add_typer(topics.app, name="topics")
app.add_typer(schemas.app, name="schemas")
app.add_typer(deletes.app, name="deletes")
app.add_typer(deadletter.app, name="dead-letter")
app.command()(tail.tail)
app.command()(verify.verify)
app.command()(broker.broker)


@app.callback()
def _syncbridge(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"syncbridge {importlib.metadata.version('syncbridge')}")
        raise typer.Exit


def main() -> None:
    """Run the command; errors go to stderr in one sentence that says what to do, with their exit code."""
    logs.configure("console", "warning")  # until a verb has read its settings
    try:
        app()
    except BridgeError as error:
        print(f"syncbridge: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; nothing is wrong with us.
        sys.stderr.close()
        sys.exit(0)
