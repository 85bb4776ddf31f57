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
OF_CALLS = {"tokenward_calls_total"}
"""There once a server answers, which these tests have none of; the end to end test has."""


def expressions() -> list[str]:
    """Every query of both files."""
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
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
