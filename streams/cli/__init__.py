"""`reprieve`, the one program.

Exit codes: 0 done, 1 failed with a sentence, 2 wrong use.
"""

from __future__ import annotations

import importlib
import signal
import sys
from importlib.metadata import version
from types import FrameType

import click

from schemas.errors import ReprieveError
from streams.logs import set_up_logging
from streams.shutdown import note_signal, was_terminated

# Where each command is: a command imports what it needs, and not what others need.
COMMANDS = {
    "access": "streams.cli.access:access_group",
    "account": "streams.cli.look_up:account_command",
    "agreement": "streams.cli.agreeing:agreement_command",
    "audit": "streams.cli.auditing:audit_group",
    "borrower": "streams.cli.look_up:borrower_command",
    "console": "streams.cli.console:console_command",
    "consume": "streams.cli.flow:consume_command",
    "dead-letters": "streams.cli.dead_letters:dead_letters_group",
    "demo": "streams.demo.command:demo_command",
    "deployment": "streams.cli.deployment:deployment_group",
    "doctor": "streams.cli.doctor:doctor_command",
    "down": "streams.cli.servers:down_command",
    "evaluate": "streams.cli.evaluating:evaluate_command",
    "intake": "streams.cli.intake:intake_command",
    "keys": "streams.cli.keys:keys_group",
    "policy": "streams.cli.rules:policy_group",
    "publish": "streams.cli.flow:publish_command",
    "quarantine": "streams.cli.quarantine:quarantine_group",
    "replay": "streams.cli.replaying:replay_command",
    "schemas": "streams.cli.rules:schemas_group",
    "settings": "streams.cli.settings:settings_command",
    "simulate": "streams.cli.simulating:simulate_command",
    "status": "streams.cli.servers:status_command",
    "topics": "streams.cli.topics:topics_group",
    "up": "streams.cli.servers:up_command",
    "views": "streams.cli.views:views_group",
    "webhooks": "streams.cli.webhooks:webhooks_group",
    "worker": "streams.cli.worker:worker_command",
}


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for (click's documentation, "Lazily Loading Subcommands")."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None where there is none of this name."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        # Code of libraries that is imported may swallow an interrupt: a signal waits until all is there.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            command = getattr(importlib.import_module(module), attribute)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("reprieve"), prog_name="reprieve")
def cli() -> None:
    """Reprieve keeps loan accounts, says when a debt goes bad, and offers repayment plans that can be kept."""


def main() -> None:
    """Run the program; what Reprieve raises on purpose becomes one sentence and exit code 1."""
    try:
        # Process 1 of a container gets no SIGTERM that it has not asked for: everybody ends on it as on Ctrl-C.
        signal.signal(signal.SIGTERM, _as_interrupt)
        # On standard error: standard output is for what a command was asked for; a program may read it.
        set_up_logging()
        cli()
    except KeyboardInterrupt:
        sys.exit(128 + (signal.SIGTERM if was_terminated() else signal.SIGINT))
    except ReprieveError as error:
        click.echo(f"reprieve: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has had enough; that is no fault.
        sys.stderr.close()
        sys.exit(0)
    except SystemExit as ended:
        # Cut short on SIGTERM: as a shell says it, which is no failure to whoever asked for it.
        if was_terminated() and ended.code:
            sys.exit(128 + signal.SIGTERM)
        raise


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    note_signal(number)
    # What a script starts in the background ignores Ctrl-C, and would ignore this too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)
