"""`reprieve`, the one program.

Exit codes: 0 done, 1 failed with a sentence, 2 wrong use.
"""

from __future__ import annotations

import signal
import sys
from importlib.metadata import version
from types import FrameType

import click

from schemas.errors import ReprieveError
from streams.cli.access import access_group
from streams.cli.agreeing import agreement_command
from streams.cli.auditing import audit_group
from streams.cli.console import console_command
from streams.cli.doctor import doctor_command
from streams.cli.evaluating import evaluate_command
from streams.cli.flow import consume_command, publish_command
from streams.cli.intake import intake_command
from streams.cli.keys import keys_group
from streams.cli.letters import dead_letters_group
from streams.cli.look_up import account_command, borrower_command
from streams.cli.replaying import replay_command
from streams.cli.rules import policy_group, schemas_group
from streams.cli.servers import down_command, status_command, up_command
from streams.cli.settings import settings_command
from streams.cli.simulating import simulate_command
from streams.cli.topics import topics_group
from streams.cli.views import views_group
from streams.cli.webhooks import webhooks_group
from streams.cli.worker import worker_command
from streams.demo.command import demo_command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("reprieve"), prog_name="reprieve")
def cli() -> None:
    """Reprieve keeps loan accounts, says when a debt goes bad, and offers repayment plans that can be kept."""


for command in (
    demo_command,
    publish_command,
    consume_command,
    replay_command,
    simulate_command,
    evaluate_command,
    account_command,
    borrower_command,
    agreement_command,
    console_command,
    policy_group,
    dead_letters_group,
    schemas_group,
    worker_command,
    up_command,
    down_command,
    status_command,
    topics_group,
    settings_command,
    doctor_command,
    keys_group,
    audit_group,
    views_group,
    access_group,
    webhooks_group,
    intake_command,
):
    cli.add_command(command)


def main() -> None:
    """Run the program; what Reprieve raises on purpose becomes one sentence and exit code 1."""
    # Process 1 of a container gets no SIGTERM that it has not asked for: everybody ends on it as on Ctrl-C.
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        cli()
    except ReprieveError as error:
        click.echo(f"reprieve: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has had enough; that is no fault.
        sys.stderr.close()
        sys.exit(0)
    except SystemExit as ended:
        # Cut short on SIGTERM: as a shell says it, which is no failure to whoever asked for it.
        if _told and ended.code:
            sys.exit(128 + signal.SIGTERM)
        raise


_told: list[int] = []


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    _told.append(number)
    # What a script starts in the background ignores Ctrl-C, and would ignore this too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)
