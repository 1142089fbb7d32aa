"""Another distribution's package under one of our names is found and named, at start-up and by the doctor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.ownership import explain, foreign_packages

ROOT = Path(__file__).parents[2]


def test_our_own_installation_is_sound() -> None:
    assert foreign_packages() == []


@pytest.fixture
def foreign(tmp_path: Path) -> dict[str, str]:
    """An environment in which somebody else's `judges`, with installed metadata, comes first."""
    (tmp_path / "judges").mkdir()
    (tmp_path / "judges" / "__init__.py").write_text('"""A court of law."""\n')
    info = tmp_path / "court_judges-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: court-judges\nVersion: 1.0\n")
    (info / "RECORD").write_text("judges/__init__.py,,\n")
    return os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}


def harness(env: dict[str, str], cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments], capture_output=True, text=True, env=env, cwd=cwd, check=False
    )


def test_doctor_names_the_owner(foreign: dict[str, str], tmp_path: Path) -> None:
    done = harness(foreign, tmp_path / "judges", "doctor")
    assert done.returncode == 2
    assert "court-judges" in done.stdout
    assert "pip uninstall court-judges" in done.stdout


def test_start_up_warns(foreign: dict[str, str], tmp_path: Path) -> None:
    done = harness(foreign, tmp_path / "judges", "run", "none.yaml")
    assert "court-judges" in done.stderr
    assert "no such file" in done.stderr


def test_missing_package_is_explained() -> None:
    from harness.ownership import Foreign

    assert "missing" in explain(Foreign("judges", None))
