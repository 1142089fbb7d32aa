"""`harness leaderboard`, `schema`, `doctor` and `store`."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.parsing import Commands, warn_of_foreign_packages


def add(commands: Commands) -> None:
    """Add them to the parser."""
    board = commands.add("leaderboard", open_leaderboard, "browse a store in the browser (Streamlit, on 127.0.0.1)")
    board.add_argument("store", type=Path, nargs="?", default=Path("runs"), help="the store (default: ./runs)")
    board.add_argument("--port", type=int, default=8501, help="port (default: 8501)")
    commands.add("schema", print_schema, "print the JSON Schema of a matrix file, for your editor")
    commands.add("doctor", examine, "check this installation: packages, versions, models, device")
    store = commands.add("store", keep_store, "look after the store", on_store=True)
    store.add_argument(
        "action",
        choices=["ls", "verify", "forget", "gc"],
        help="list objects; check every file; remove a run's report and plan; remove objects that no run uses",
    )
    store.add_argument("run", nargs="?", metavar="RUN", help="forget: the run, by the name of its folder in matrices/")
    store.add_argument("--dry-run", action="store_true", help="gc: only say what would go")


def open_leaderboard(arguments: argparse.Namespace) -> int:
    """`harness leaderboard`."""
    from leaderboard.launch import launch

    warn_of_foreign_packages()
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
    from harness.errors import StoreError
    from harness.store import Store

    store = Store(arguments.store)
    if not store.made:
        raise StoreError("there is no store", where=str(store.root), hint="name the store with --store")
    match arguments.action:
        case "ls":
            for item in store.ls():
                rows = f"{item.rows} rows" if item.rows is not None else "weights" if item.state == "sealed" else ""
                print(
                    f"{item.key.stage:<9} {item.key.digest[:12]}  {item.state:<11} {item.bytes / 1e6:>9.2f} MB  {rows}"
                )
            return 0
        case "verify":
            damaged = 0
            for key, problems in store.verify():
                damaged += bool(problems)
                for text in problems:
                    print(f"{key.stage} {key.digest[:12]}: {text}")
            print(f"{damaged} damaged" if damaged else "every sealed object is sound")
            return 2 if damaged else 0
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
