"""Writes the dashboards as Grafana reads them: `python -m deploy.grafana.build`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.grafana.panels import DASHBOARDS, Dashboard, Panel

FOLDER = Path(__file__).parent / "dashboards"
# Grafana's schema that was current when this was written; later ones are migrated by Grafana itself.
_SCHEMA = 39
_WIDTH, _HEIGHT = 24, 8
_SOURCE = {"type": "prometheus", "uid": "reprieve-prometheus"}


def made(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana's JSON."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in dashboard.rows.items():
        panels.append(_row(len(panels) + 1, title, y))
        y += 1
        width, height = (4, 4) if all(panel.kind == "stat" for panel in row) else (8, _HEIGHT)
        each = _WIDTH // width
        for number, panel in enumerate(row):
            place = {"x": number % each * width, "y": y + number // each * height, "w": width, "h": height}
            panels.append(_panel(len(panels) + 1, panel, place))
        y += (len(row) + each - 1) // each * height
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["reprieve"],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "panels": panels,
    }


def _row(number: int, title: str, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": _WIDTH, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    target = {
        "refId": "A",
        "datasource": _SOURCE,
        "expr": panel.query,
        "legendFormat": panel.legend or "__auto",
        "instant": panel.kind != "timeseries",
        "range": panel.kind == "timeseries",
    }
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {},
        "targets": [target],
    }


def main() -> None:
    """Write all dashboards."""
    FOLDER.mkdir(exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(text(dashboard), "utf-8")


def text(dashboard: Dashboard) -> str:
    """Return a dashboard as the text of its file."""
    return json.dumps(made(dashboard), indent=2) + "\n"


if __name__ == "__main__":
    main()
