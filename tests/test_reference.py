"""The reference says what the code has, no more and no less: settings, metrics, log events, fields of a Moltbot."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from moltbot_gateway.life import Timings
from moltbot_gateway.settings import Settings as GatewaySettings
from moltbot_operator.settings import Settings as OperatorSettings
from moltbot_state.settings import BackupSettings, StateSettings
from moltbot_trust.settings import describe_settings

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs/reference"
# In the sources: where each metric is made. Everything else that begins like one is a label of objects or a name of a module.
_METRIC = re.compile(r"\b(Counter|Gauge|Histogram)(?:MetricFamily)?\(\s*f?\"(moltbot_\w*(?:\{word\}\w*)?)\"")
_ROW = re.compile(r"^\| `(moltbot_\w+)(?:\{[a-z,]+\})?` \| (\w+) \|", re.MULTILINE)


def _section(page: str, title: str) -> str:
    text = (REFERENCE / page).read_text(encoding="utf-8")
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has no section {title}"
    return found[1]


@pytest.mark.parametrize(
    ("title", "settings"),
    [("Operator", OperatorSettings), ("Gateway", GatewaySettings), ("State", StateSettings), ("Backup", BackupSettings)],
)
def test_every_setting_is_documented_with_its_default_and_nothing_else(title: str, settings: type[Any]) -> None:
    rows = re.findall(r"^\| `(MOLTBOT_\w+)` \| (?:[^|\\]|\\\|)+ \| ([^|]*) \|", _section("settings.md", title), re.MULTILINE)
    documented = {variable: default.strip(" `") for variable, default in rows}
    assert documented == {row.variable: "required" if row.default is None else row.default for row in describe_settings(settings)}


def _metrics_in_code() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted([*(ROOT / "operator").rglob("moltbot_*/**/*.py"), *(ROOT / "gateway").rglob("*.py")]):
        for kind, name in _METRIC.findall(path.read_text(encoding="utf-8")):
            words = [word.removesuffix("Ms") for word in Timings().to_json()] if "{word}" in name else [""]
            for word in words:
                full = name.replace("{word}", word)
                # prometheus_client ends a counter's name with _total by itself
                shown = full.removesuffix("_total") + "_total" if kind == "Counter" else full
                found[shown] = kind.lower()
    return found


def test_every_metric_is_documented_with_its_kind_and_nothing_else() -> None:
    made = _metrics_in_code()
    assert len(made) > 20, "the pattern no longer finds where metrics are made"
    assert dict(_ROW.findall((REFERENCE / "metrics.md").read_text(encoding="utf-8"))) == made


_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
_LOGGERS = {"log", "self._log", "bound", "logger"}
# Loggers that may have fields of their own, by `log.bind(…)`, of which a module has one.
_BOUND = {"self._log", "bound"}
# Of logging.Logger itself, no fields of a line.
_NO_FIELDS = {"exc_info", "extra"}


def _logged(*folders: str) -> dict[str, tuple[set[str], set[str]]]:
    """Levels and fields of each event that the sources of these packages log."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        bound = {word.arg for call in calls if ast.unparse(call.func) == "log.bind" for word in call.keywords if word.arg is not None}
        for call in calls:
            if not (isinstance(call.func, ast.Attribute) and call.func.attr in _LEVELS and call.args):
                continue
            logger = ast.unparse(call.func.value)
            if logger not in _LOGGERS:
                continue
            event = call.args[0]
            assert isinstance(event, ast.Constant), f"{path}:{call.lineno}: an event is a fixed phrase"
            levels, fields = found.setdefault(str(event.value), (set(), set()))
            levels.add(_LEVELS[call.func.attr])
            fields.update(word.arg for word in call.keywords if word.arg is not None and word.arg not in _NO_FIELDS)
            fields.update(bound if logger in _BOUND else ())
    return found


@pytest.mark.parametrize(
    ("title", "folders"),
    [
        ("Operator", ["operator/moltbot_operator"]),
        ("Router", ["operator/moltbot_router"]),
        ("Gateway", ["gateway/moltbot_gateway"]),
        ("State", ["gateway/moltbot_state"]),
        ("All of them", ["gateway/moltbot_trust", "operator/moltbot_kube"]),
    ],
)
def test_every_log_event_and_field_is_documented_and_nothing_else(title: str, folders: list[str]) -> None:
    made = _logged(*folders)
    assert made, "the test no longer finds where events are logged"
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]*) \|([^|]*)\|", _section("logs.md", title), re.MULTILINE)
    assert {event: (set(levels.split(", ")), set(re.findall(r"`(\w+)`", fields))) for event, levels, fields in rows} == made


def _fields(node: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, child in node.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        yield here
        yield from _fields(child, here)
        yield from _fields(child.get("items", {}), f"{here}[]")


def test_every_field_of_a_moltbot_is_documented_and_nothing_else() -> None:
    crd = yaml.safe_load((ROOT / "crds/moltbot.dev_moltbots.yaml").read_text(encoding="utf-8"))
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    page = (REFERENCE / "moltbot.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Za-z0-9.\[\]]+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(_fields(spec))
