"""The dashboards: each panel's query is answered by a real Prometheus that scrapes tasks at work."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import yaml
from prometheus_client import REGISTRY

import streams.kafka.gauges
import streams.kafka.metrics
import streams.portfolio_metrics  # noqa: F401
from deploy.grafana.build import FOLDER, made, text
from deploy.grafana.panels import DASHBOARDS, Dashboard, Panel
from tests.support.programs.dashboard_source import PARTS

HOUSE = Path(__file__).parents[2]
PANELS = [(d.uid, panel) for d in DASHBOARDS for row in d.rows.values() for panel in row]
PATIENCE = 60.0
SCRAPES = "count_over_time(up[1h])"

# Panels that nothing makes speak here, and why.
SILENT = {
    "Stores built anew": "no store was damaged",
    "Committing a batch, p99": "nothing is a Kafka transaction",
    "Rows not yet in Redis": "views are another process",
    "Guardrails breached, 7 days": "by default the learner does not lead, so nothing can be breached",
    "Accounts ended, 7 days": "the simulated lender closes no account in this while",
    "Adjustments, 7 days": "the simulated lender adjusts nothing in these plain events",
}


def test_the_files_are_what_the_description_makes() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {f"{d.uid}.json" for d in DASHBOARDS}
    for dashboard in DASHBOARDS:
        written = (FOLDER / f"{dashboard.uid}.json").read_text("utf-8")
        assert written == text(dashboard), "python -m deploy.grafana.build"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda d: d.uid)
def test_panels_have_unique_ids_and_do_not_overlap(dashboard: Dashboard) -> None:
    panels = made(dashboard)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        wide, high = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        own = {(x, y) for x in wide for y in high}
        assert not own & cells
        cells |= own


def test_every_metric_that_a_panel_names_is_one_of_ours() -> None:
    families = list(REGISTRY.collect())
    ours = {name for f in families for name in (f.name, f"{f.name}_total", f"{f.name}_bucket")}
    rules = yaml.safe_load((HOUSE / "deploy/prometheus/rules.yml").read_text("utf-8"))
    recorded = {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}
    for _, panel in PANELS:
        named = set(re.findall(r"\b(?:reprieve[_:]|process_)[a-z0-9_:]+", panel.query))
        assert named <= ours | recorded, panel
        labels = set(re.findall(r"{{(\w+)}}", panel.legend))
        by = re.search(r"by \(([^)]*)\)", panel.query)
        if by is not None and by[1] != "le":
            assert labels == set(by[1].split(", ")), panel


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    folder = HOUSE / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text("utf-8"))["datasources"]
    used = [p["datasource"] for d in DASHBOARDS for p in made(d)["panels"] if p["type"] != "row"]
    assert all(found == {"type": source["type"], "uid": source["uid"]} for found in used)
    (provider,) = yaml.safe_load((folder / "dashboards" / "reprieve.yml").read_text("utf-8"))["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


# -- against a real Prometheus


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start Prometheus over tasks that take a history; returns its address."""
    program = shutil.which("prometheus") or shutil.which("prometheus", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("prometheus is not here, and this machine cannot fetch it")
    folder = tmp_path_factory.mktemp("prometheus")
    with open(folder / "log", "wb") as log, at_work(folder, log) as tasks:
        port = tasks.stdout.readline().strip()
        assert port.isdigit(), port + (folder / "log").read_text("utf-8")
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(HOUSE / "deploy" / "prometheus" / "rules.yml")],
            "scrape_configs": [{"job_name": "reprieve", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(config), "utf-8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            own = free.getsockname()[1]
        args = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        args += ["--log.level=warn", f"--web.listen-address=127.0.0.1:{own}"]
        with subprocess.Popen(args, stdout=log, stderr=log) as server:
            try:
                address = f"http://127.0.0.1:{own}"
                until(lambda: asked(address, "up") == [1.0], "the first scrape")
                for _ in range(PARTS + 2):
                    # A scrape between the parts, so that what is counted is seen to grow.
                    seen = asked(address, SCRAPES)
                    until(lambda seen=seen: asked(address, SCRAPES) > seen, "a scrape")  # type: ignore[misc]
                    tasks.stdin.write("go on\n")
                    tasks.stdin.flush()
                    assert tasks.stdout.readline() == "done\n", (folder / "log").read_text("utf-8")[-3000:]
                yield address
            finally:
                server.terminate()


@contextmanager
def at_work(folder: Path, log: IO[bytes]) -> Iterator[Any]:
    """Run the process with the tasks, until the block ends."""
    command = [sys.executable, "-m", "tests.support.programs.dashboard_source", str(folder / "tasks")]
    with subprocess.Popen(
        command, cwd=HOUSE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
    ) as tasks:
        try:
            yield tasks
        finally:
            tasks.terminate()


def asked(address: str, query: str) -> list[float]:
    """Return the values of a query as of now. Raises where Prometheus refuses it, none where it is not there yet."""
    try:
        with urllib.request.urlopen(f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            # It says so while it starts.
            if error.code == 503:
                return []
            raise
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionError):
            return []
        raise
    assert found["status"] == "success", found
    return [float(sample["value"][1]) for sample in found["data"]["result"]]


def until(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.1)


@pytest.mark.parametrize(("uid", "panel"), PANELS, ids=[f"{uid}-{p.title}" for uid, p in PANELS])
def test_each_panel_shows_something(prometheus: str, uid: str, panel: Panel) -> None:
    def said() -> list[float]:
        values = asked(prometheus, panel.query.replace("$__rate_interval", "1m"))
        return [value for value in values if not math.isnan(value)]

    if panel.title in SILENT:
        assert not said(), f"{panel.title} speaks: take it off the list ({SILENT[panel.title]})"
    else:
        # A scrape that came too late on a busy machine is made up for by the next.
        until(lambda: bool(said()), panel.query, 10)
