"""`harness leaderboard`, `schema`, `doctor` and `store`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.parsing import Commands, port, warn_of_foreign_packages

if TYPE_CHECKING:
    from harness.records.inputs import StageKey
    from harness.store import Store


def add(commands: Commands) -> None:
    """Add them to the parser."""
    board = commands.add("leaderboard", open_leaderboard, "browse a store in the browser (Streamlit, on 127.0.0.1)")
    board.add_argument("store", type=Path, nargs="?", default=Path("runs"), help="the store (default: ./runs)")
    board.add_argument("--port", type=port, default=8501, help="port (default: 8501)")
    commands.add("schema", print_schema, "print the JSON Schema of a matrix file, for your editor")
    commands.add("doctor", examine, "check this installation: packages, versions, models, device")
    store = commands.add("store", keep_store, "look after the store", on_store=True)
    store.add_argument(
        "action",
        choices=["ls", "verify", "forget", "gc"],
        help="list runs and objects; check every file; remove a run's report and plan; remove objects that no run uses",
    )
    store.add_argument("run", nargs="?", metavar="RUN", help="forget: the run, by the name that ls gives it")
    store.add_argument("--dry-run", action="store_true", help="gc: only say what would go")


def open_leaderboard(arguments: argparse.Namespace) -> int:
    """`harness leaderboard`."""
    from leaderboard.launch import launch

    warn_of_foreign_packages()
    opened(arguments.store, hint="name the store: `harness leaderboard STORE`; `harness run` makes one")
    return launch(arguments.store, arguments.port)


def print_schema(_: argparse.Namespace) -> int:
    """`harness schema`."""
    import json

    from harness.spec.reading import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0


def examine(_: argparse.Namespace) -> int:
    """`harness doctor`."""
    from harness.doctor import examination

    findings = examination()
    for finding in findings:
        print(f"{'ok  ' if finding.sound else 'LOOK'}  {finding.text}")
    return 0 if all(finding.sound or finding.optional for finding in findings) else 2


def keep_store(arguments: argparse.Namespace) -> int:
    """`harness store`."""
    store = opened(arguments.store, hint="name the store with --store")
    match arguments.action:
        case "ls":
            list_objects(store)
            return 0
        case "verify":
            return verify(store)
        case "forget":
            store.forget(arguments.run)
            print(f"forgot {arguments.run}; `harness store gc` removes what no other run uses")
            return 0
        case _:
            sizes = []
            for item in store.garbage() if arguments.dry_run else store.collect():
                print(f"{'would remove' if arguments.dry_run else 'removed'} {item.key.stage} {item.key.digest[:12]}")
                sizes.append(item.bytes)
            print(f"{len(sizes)} objects, {sum(sizes) / 1e6:.1f} MB")
            return 0


def opened(root: Path, hint: str) -> Store:
    """The store that lies there. Raises StoreError where none does."""
    from harness.errors import StoreError
    from harness.store import Store

    store = Store(root)
    if not store.made:
        raise StoreError("there is no store", where=str(root), hint=hint)
    return store


def list_objects(store: Store) -> None:
    """Runs by the names of their folders, then objects with whom they are for."""
    from harness.lineage import owners

    for folder in store.matrix_folders():
        run = store.planned_matrix(folder)
        keys = {stage.key for stage in run.plan.stages} if run else set()
        there = f"{sum(map(store.is_sealed, keys))} of {len(keys)} objects" if run else "plan.json cannot be read"
        print(f"{folder.name}  {there}")
    owned = owners(store)
    for item in store.ls():
        rows = f"{item.rows} rows" if item.rows is not None else "weights" if item.state == "sealed" else ""
        line = f"{item.key.stage:<9} {item.key.digest[:12]}  {item.state:<11} {item.bytes / 1e6:>9.2f} MB  {rows:<10}"
        print(f"{line}  {owned.get(item.key) or unowned(store, item.key)}")


def unowned(store: Store, key: StageKey) -> str:
    """What an object is that no plan names."""
    return "people's ratings" if store.by_people(key) else "no run uses it"


def verify(store: Store) -> int:
    """Say what is damaged or missing, of which run it is, and what to do. Raises HarnessError for a published copy."""
    from harness.errors import HarnessError
    from harness.lineage import lost, owners

    runs = store.matrices()
    if runs and not any((run.folder / "matrix.yaml").exists() for run in runs):
        raise HarnessError(
            f"holds a published copy of {runs[0].name}: rows without weights and without what decided them",
            where=str(store.root),
            hint="verify the store that it was published from",
        )
    owned = owners(store)
    bad: dict[StageKey, list[str]] = {key: problems for key, problems in store.verify() if problems}
    damaged = list(bad)
    for run in runs:
        bad |= {stage.key: ["is missing"] for stage in lost(run, store)}
    for key, problems in bad.items():
        who = owned.get(key) or unowned(store, key)
        for text in problems:
            print(f"{key.stage} {key.digest[:12]} ({who}): {text}")
    if not bad:
        print("every sealed object is sound")
        return 0
    print(f"{len(damaged)} damaged, {len(bad) - len(damaged)} missing")
    people = [key for key in damaged if store.by_people(key)]
    for key in people:
        print(f"nothing makes people's ratings again: take {store.folder(key)} from a backup")
    if len(bad) > len(people):
        first = "; first delete what is damaged:" if len(damaged) > len(people) else ""
        print(f"`harness run` with the run's matrix makes again what is missing{first}")
    for key in damaged:
        if key not in people:
            print(f"  rm -r {shlex.quote(str(store.folder(key)))}")
    return 2
