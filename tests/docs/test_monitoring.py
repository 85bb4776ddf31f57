"""The dashboard and the alert rules ask for metrics that there are, with labels and values that they have."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from daemon.test_metrics import failing, looked_at, share_nothing
from daemon.warding import warding
from tokenward.core.lifecycle import Phase
from tokenward.daemon import exposition

MONITORING = Path(__file__).resolve().parents[2] / "docs" / "monitoring"
ALERTS = MONITORING / "alerts.yml"
DASHBOARD = MONITORING / "grafana.json"
PROMTOOL = which("promtool")
_METRIC = re.compile(r"\btokenward_[a-z_]+")
OF_CALLS = {"tokenward_calls_total", "tokenward_calls_refused_total"}
"""There once a server answers, which these tests have none of; the end to end test has."""


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def targets() -> list[dict[str, Any]]:
    """Every query of the dashboard, with its legend."""
    return [target for panel in dashboard()["panels"] for target in panel["targets"]]


def expressions() -> list[str]:
    """Every query of both files."""
    asked = [target["expr"] for target in targets()]
    alerts = [line.partition("expr: ")[2] for line in ALERTS.read_text().splitlines() if "expr: " in line]
    assert len(alerts) == ALERTS.read_text().count("- alert:")
    return [*asked, *alerts]


async def test_what_is_asked_for_is_there(tmp_path: Path) -> None:
    """A metric that was renamed would leave an alert that never fires."""
    async with warding(tmp_path) as household:
        await failing(household)
        page = await exposition.page(looked_at(household), "")
    there = set(re.findall(r"^# TYPE (\S+)", page.text, re.MULTILINE)) | OF_CALLS
    asked = {name for each in expressions() for name in _METRIC.findall(each)}
    assert asked
    assert asked <= there
    phases = {phase for each in expressions() for phase in re.findall(r'phase="(\w+)"', each)}
    assert phases <= {phase.value for phase in Phase}


async def test_every_metric_is_explained(tmp_path: Path) -> None:
    """docs/monitoring.md names each, and none that there is not."""
    async with warding(tmp_path) as household:
        share_nothing(household)
        await failing(household)
        page = await exposition.page(looked_at(household), "")
    there = set(re.findall(r"^# TYPE (\S+)", page.text, re.MULTILINE)) | OF_CALLS
    explained = set(re.findall(r"`(tokenward_\w+)`", (MONITORING.parent / "monitoring.md").read_text()))
    assert explained == there


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
@pytest.mark.parametrize("arguments", [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]])
def test_promtool_takes_the_rules(arguments: list[str]) -> None:
    """They are well formed, and fire when they should and not before."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_takes_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """Each as a recording rule, with the dashboard's variable replaced as Grafana would."""
    assert PROMTOOL is not None
    queries = [target["expr"].replace("$instance", ".*") for target in targets()]
    assert not any("$" in query for query in queries)
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    done = subprocess.run([PROMTOOL, "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(rules)} rules found" in done.stdout


async def test_the_dashboard_asks_for_labels_that_there_are(tmp_path: Path) -> None:
    """In selectors, groupings and legends; a label that is none makes one line of many, or none."""
    async with warding(tmp_path) as household:
        await failing(household)
        page = await exposition.page(looked_at(household), "")
    labels: dict[str, set[str]] = {"tokenward_calls_total": {"method", "path", "result"}}
    for name, inner in re.findall(r"^(tokenward_\w+)(?:\{(.*)\})? ", page.text, re.MULTILINE):
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', inner))
    for target in targets():
        query, legend = target["expr"], target["legendFormat"]
        (name,) = set(_METRIC.findall(query))
        asked = set(re.findall(r"(\w+)=~?\"", query)) | set(re.findall(r"\{\{(\w+)\}\}", legend))
        asked |= {label.strip() for group in re.findall(r"by \((.*?)\)", query) for label in group.split(",")}
        of_profiles = labels["tokenward_profile_usable"]  # one that nobody has now would have these
        assert asked - {"instance"} <= labels.get(name, of_profiles), query


def test_the_dashboard_can_be_imported() -> None:
    """Everybody's own data source, no id of another installation, and no panel twice or over another."""
    document = dashboard()
    assert document["schemaVersion"] >= 36, "older ones name data sources by a word that Grafana 9 and later drop"
    assert "id" not in document
    variables = {variable["name"]: variable for variable in document["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    source = {"type": "prometheus", "uid": "${datasource}"}
    panels = document["panels"]
    asking = [*panels, *targets(), variables["instance"]]
    assert all(each["datasource"] == source for each in asking)
    assert len({panel["id"] for panel in panels}) == len(panels) > 10
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert cells, panel["title"]
        assert not cells & taken, panel["title"]
        assert all(0 <= x < 24 for x, _ in cells), panel["title"]
        taken |= cells
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
