"""`reprieve up`, `down` and `status`: Apache Kafka and Redis on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deploy.local.processes import Served
from deploy.local.redis import RedisServer
from schemas.errors import FatalError
from streams.cli.cluster import settings_of
from streams.cli.common import json_option, say_json
from streams.cli.topics import applied
from streams.security.key_file import make
from streams.shutdown import finish_undisturbed

if TYPE_CHECKING:
    from deploy.local.kafka import KafkaCluster

_REDIS_PORT = 6379
data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("servers"),
    show_default=True,
    help="The folder for their data, which stay when they are stopped.",
)


def _cluster(data: Path) -> KafkaCluster:
    from deploy.local.kafka import KafkaCluster

    if not (data / "kafka" / "ports.json").exists():
        raise FatalError(f"No servers were ever started in {data}. Start them with `reprieve up --data {data}`.")
    ports, _ = json.loads((data / "kafka" / "ports.json").read_text("utf-8"))
    return KafkaCluster(data / "kafka", len(ports))


def _start(server: Served, started: ExitStack, undo: Callable[[], None], *, runs: bool) -> None:
    """Start a server, to be undone on leaving `started` unless it ran before."""
    if not runs:
        started.callback(undo)
    server.start()


@click.command("up")
@data_option
@click.option("--brokers", type=click.Choice(["1", "3"]), default="1", show_default=True, help="How many brokers.")
@click.option("--port", type=click.IntRange(1, 65_000), default=9092, show_default=True, help="Of the first broker.")
@click.option("--redis/--no-redis", default=True, help="Whether to start Redis too.")
@click.option("--shorten", is_flag=True, help="As of `reprieve topics apply`.")
def up_command(data: Path, brokers: str, port: int, redis: bool, shorten: bool) -> None:
    """Start Apache Kafka (KRaft) and Redis on loopback, and make the topics and master keys.

    Where anything of that fails, or a signal ends it, what was started for it is stopped again.
    """
    from deploy.local.kafka import KafkaCluster

    count = int(brokers)
    data = data.absolute()
    cluster = KafkaCluster(data / "kafka", count, ports=[port + n for n in range(count)])
    server = RedisServer(data / "redis", port=_REDIS_PORT) if redis else None
    settings = settings_of(None, kafka={"bootstrap_servers": cluster.bootstrap})
    cluster.see_that_ports_are_free()
    if server is not None:
        server.see_that_its_port_is_free()
    with ExitStack() as started:
        try:
            _start(cluster, started, cluster.forget if cluster.fresh else cluster.stop, runs=any(cluster.running))
            click.echo(f"Kafka: {cluster.bootstrap}")
            if server is not None:
                _start(server, started, server.stop, runs=server.running)
                click.echo(f"Redis: {server.url} (for views: export REPRIEVE_REDIS__URL={server.url})")
            for line in applied(settings, shorten=shorten):
                click.echo(line)
            keys = data / "master-keys.json"
            if not keys.exists():
                make(keys)
        except BaseException:
            finish_undisturbed()
            raise
        started.pop_all()
    click.echo(f"Personal data are sealed under {keys}: export REPRIEVE_PRIVACY__MASTER_KEYS_FILE={keys}")
    click.echo("Next: `reprieve worker` processes events, `reprieve down` stops the servers.")


@click.command("down")
@data_option
def down_command(data: Path) -> None:
    """Stop what `up` started; the data stay."""
    data = data.absolute()
    _cluster(data).stop()
    RedisServer(data / "redis", port=_REDIS_PORT).stop()
    click.echo("Stopped.")


@click.command("status")
@data_option
@json_option
def status_command(data: Path, as_json: bool) -> None:
    """Say what runs where."""
    data = data.absolute()
    cluster, server = _cluster(data), RedisServer(data / "redis", port=_REDIS_PORT)
    if as_json:
        say_json({"kafka": dict(zip(cluster.ports, cluster.running, strict=True)), "redis": server.running})
        return
    for port, runs in zip(cluster.ports, cluster.running, strict=True):
        click.echo(f"Kafka on 127.0.0.1:{port} {'runs' if runs else 'is stopped'}")
    click.echo(f"Redis {'runs' if server.running else 'is stopped'}")
