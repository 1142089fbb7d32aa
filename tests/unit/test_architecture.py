"""Who may import whom (docs/architecture.md), what stays light, and what no file may be called."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("harness", "trainers", "judges", "reports", "leaderboard")
HEAVY = {"torch", "transformers", "peft", "openai", "ollama", "streamlit", "xllamacpp", "accelerate"}
COMMANDS = {f"harness/commands/{path.name}" for path in (ROOT / "harness" / "commands").glob("*.py")}
LAZY_ONLY = {
    *COMMANDS,
    *(f"harness/stages/{path.name}" for path in (ROOT / "harness" / "stages").glob("*.py")),
    *(f"harness/{name}.py" for name in ("pipeline", "resolve", "evidence", "preview", "export", "raters", "sitting")),
}
"""May import trainers, generators, judges and reports, and only inside functions."""


def files() -> list[Path]:
    return [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, whether it is imported when the file is) of every import; those for type checkers only are left out."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(outer)
    }
    checking = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.If) and "TYPE_CHECKING" in ast.unparse(outer.test)
        for node in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if id(node) in checking:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) not in inside
            yield from ((f"{node.module}.{alias.name}", id(node) not in inside) for alias in node.names)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def under(module: str, *rooms: str) -> bool:
    return any(module == room or module.startswith(room + ".") for room in rooms)


@pytest.mark.parametrize("path", files(), ids=relative)
def test_import_rules(path: Path) -> None:
    name = relative(path)
    room = name.split("/")[0]
    for module, at_import in imports(path):
        assert not under(module, "tests"), (name, module)
        assert not (under(module, "harness.cli", "harness.pipeline") and name not in COMMANDS), (name, module)
        if room == "harness" and not name.startswith("harness/generators/"):
            if under(module, "trainers", "judges", "reports", "leaderboard", "harness.generators"):
                assert name in LAZY_ONLY, (name, module)
                assert not at_import, (name, module)
            assert not (at_import and module.split(".")[0] in HEAVY), (name, module)
        if name.startswith("harness/records/") and under(module, *ROOMS):
            assert under(module, "harness.records", "harness.errors"), (name, module)
        if room == "trainers":
            assert not under(module, "judges", "reports", "leaderboard", "harness.generators"), (name, module)
        if name == "judges/transformers_judge.py":
            assert not (at_import and under(module, "torch", "trainers")), (name, module)
        elif room == "judges":
            assert not under(module, "trainers", "reports", "leaderboard", "harness.generators", "torch"), (
                name,
                module,
            )
            assert not (at_import and module.split(".")[0] in HEAVY), (name, module)
        if room in ("reports", "leaderboard"):
            assert not under(module, "trainers", "judges", "harness.generators", "torch", "transformers"), (
                name,
                module,
            )
        if room == "reports":
            assert not under(module, "leaderboard", "streamlit"), (name, module)


def test_statistics_know_nothing_of_the_house() -> None:
    for path in (ROOT / "harness" / "stats").glob("*.py"):
        for module, _ in imports(path):
            assert not under(module, "harness") or under(module, "harness.stats", "harness.errors"), (path.name, module)


@pytest.mark.parametrize("path", files(), ids=relative)
def test_names(path: Path) -> None:
    assert path.stem not in {"utils", "util", "common", "helpers", "misc"}
    top_level = {module.split(".")[0] for module, _ in imports(path)}
    assert path.stem not in top_level - set(ROOMS), "a module bears the name of a library that it imports"
    assert path.stem not in sys.stdlib_module_names, "a module bears the name of the standard library's"


LOADED = "import sys; sys.argv = {argv!r}\nimport harness.cli\ntry: harness.cli.main()\nexcept SystemExit: pass\n"
LOADED += "print('LOADED', *sorted(m for m in sys.modules if '.' not in m))"


@pytest.mark.parametrize(
    "argv",
    [
        ["harness", "--help"],
        ["harness", "schema"],
        ["harness", "plan", str(ROOT / "examples" / "quickstart.yaml")],
        ["harness", "store", "ls"],
    ],
    ids=lambda argv: argv[1],
)
def test_light_commands_stay_light(argv: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(argv=argv)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    loaded = set(done.stdout.rsplit("LOADED", 1)[1].split())
    assert "harness" in loaded
    assert not loaded & HEAVY, done.stderr
    assert not (loaded & {"pandas", "scipy", "sacrebleu"}), "slow to import, and not needed here"


def test_help_is_quick() -> None:
    """The promise is 0.3 s, held against processor time: waiting for other programs is not this one's."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "harness.cli", "--help"], capture_output=True, check=True, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.3
