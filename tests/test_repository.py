"""What holds for the repository as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_operator_folder_never_shadows_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "tests" / "operator").exists()
    done = subprocess.run(
        [sys.executable, "-c", "import operator; print(operator.itemgetter.__name__)"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "itemgetter"


def test_nothing_of_a_machine_is_committed() -> None:
    done = subprocess.run([sys.executable, ".ci/hygiene.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_make_help_tells_every_target_that_people_type() -> None:
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("run", "test", "check", "ui", "images", "e2e", "kind", "k3d", "bench", "fix"):
        assert f"{target} " in text
