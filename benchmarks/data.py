"""Loading, cutting, auditing and tokenising a large data set: seconds and peak memory, against the package `datasets`.

Every contestant reads the same made-up JSONL file, cuts it 85/10/5 in file order and writes the parts as JSON lines,
each in a process of its own, in turns. Ours also checks every row; "our tokens" then renders and tokenises them (Alpaca
style, SmolLM2's tokenizer) into shards, in all processors. Memory is measured at full size and at a tenth of it: what a
row costs is the difference. The last line is JSON: `ratio` is the median time of `datasets` ÷ ours.

    python benchmarks/data.py --rows 1000000                                              # all of it
    python benchmarks/data.py --rows 1000000 --only "our tokens" --rounds 1               # the promise: within 300 s
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

WORDS = (
    "time year people way day man thing woman life child world school state family student group country problem hand "
    "part place case week company system program question work government number night point home water room mother "
    "area money story fact month lot right study book eye job word business issue side kind head house service friend"
).split()
TOKENIZER = "tokenizer"
PARTS = {"train": 0.85, "test": 0.10}


def main() -> None:
    """Write the files, take turns, print."""
    arguments = parsed()
    if arguments.contestant:
        print(json.dumps(measured(CONTESTANTS[arguments.contestant], arguments.file, arguments.folder)))
        return
    names = [arguments.only] if arguments.only else list(CONTESTANTS)
    with tempfile.TemporaryDirectory() as folder:
        if "our tokens" in names:
            save_tokenizer(Path(folder) / TOKENIZER)
        small = write_rows(Path(folder) / "small.jsonl", arguments.rows // 10)
        large = write_rows(Path(folder) / "large.jsonl", arguments.rows)
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for number in range(arguments.rounds):
            for name in names:
                runs[name].append(contest(name, large, Path(folder)))
                print(f"round {number + 1}  {name:<9} {runs[name][-1]}", flush=True)
        light = {name: contest(name, small, Path(folder)) for name in names}
    print(json.dumps(summary(arguments.rows, runs, light)))


def parsed() -> argparse.Namespace:
    """Arguments; `--contestant` is how the parent starts its children."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the file (default: a million)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant (default: 3)")
    parser.add_argument("--only", choices=list(CONTESTANTS), help="one contestant, without the others")
    parser.add_argument("--contestant", choices=list(CONTESTANTS), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_rows(path: Path, n: int) -> Path:
    """`n` seeded entries of about 400 characters; one in a hundred repeats an earlier prompt, one nearly."""
    draw = random.Random(n)
    seen: list[str] = []
    with path.open("w", encoding="utf-8") as f:
        for number in range(n):
            instruction = " ".join(draw.choices(WORDS, k=35)) + f" {number}"
            if seen and number % 100 == 1:
                instruction = draw.choice(seen)
            elif seen and number % 100 == 2:
                instruction = draw.choice(seen).replace("e", "E", 1) + "?"
            if number % 50 == 0:
                seen.append(instruction)
            row = {"instruction": instruction, "input": "", "output": " ".join(draw.choices(WORDS, k=35))}
            f.write(json.dumps(row) + "\n")
    return path


def contest(name: str, file: Path, folder: Path) -> dict[str, float]:
    """One turn of a contestant in a process of its own: seconds and peak resident megabytes."""
    out = tempfile.mkdtemp(dir=folder)
    command = [sys.executable, __file__, "--contestant", name, "--file", str(file), "--folder", out]
    environment = os.environ | {"HF_DATASETS_CACHE": f"{out}/cache", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(work: Callable[[Path, Path], None], file: Path, folder: Path) -> dict[str, float]:
    """Time of the work alone, imports included; peak memory of it and of all children, each as the largest."""
    began = time.perf_counter()
    work(file, folder)
    seconds = time.perf_counter() - began
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"seconds": round(seconds, 2), "peak_mb": round((own + child * (os.cpu_count() or 1)) / 1024, 1)}


# ---------------------------------------------------------------- contestants


def ours(file: Path, folder: Path) -> None:
    """Scan, check, cut, and write the rows of all parts."""
    from harness.store import write_atomically

    write_atomically(folder / "rows.jsonl", (row.model_dump_json() + "\n" for row in our_split(file)))


def our_audit(file: Path, folder: Path) -> None:
    """Scan and audit."""
    from harness.data.audit import audit
    from harness.records.settings import AuditSettings

    found = audit(our_split(file), AuditSettings())
    (folder / "findings").write_text(str(len(found.findings)))


def our_tokens(file: Path, folder: Path) -> None:
    """Scan, check, cut, write the rows, render them and write the shards: all that precedes a training."""
    from harness.prompts import STYLES
    from trainers.token_shards import Recipe, write_shards

    ours(file, folder)
    (folder / "tokens").mkdir()
    recipe = Recipe(folder.parent / TOKENIZER, STYLES["alpaca"], trust_remote_code=False, folder=folder / "tokens")
    write_shards(folder / "rows.jsonl", recipe, processes=os.cpu_count() or 1)


def save_tokenizer(folder: Path) -> None:
    """SmolLM2's tokenizer and configuration, as a base object of the store has them."""
    from transformers import AutoConfig

    from harness.gguf import locate_gguf
    from trainers.models import locate, read_tokenizer

    found = locate("smollm2-135m")
    read_tokenizer(found)[0].save_pretrained(folder)
    path = found.path or locate_gguf(found.name)
    AutoConfig.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(folder)


def our_split(file: Path) -> Any:
    """The data set as a matrix would have it."""
    from harness.data.dataset import dataset
    from harness.records.settings import SplitSettings
    from harness.spec.data import DataSpec

    return dataset(DataSpec(path=str(file)), SplitSettings(**PARTS), file.parent)


def by_datasets(file: Path, folder: Path) -> None:
    """The same with `datasets`, in slices."""
    import datasets

    loaded = datasets.load_dataset("json", data_files=str(file), split="train")
    train, test = (int(len(loaded) * share) for share in PARTS.values())
    for name, start, end in (("train", 0, train), ("test", train, train + test), ("rest", train + test, len(loaded))):
        loaded.select(range(start, end)).to_json(folder / f"{name}.jsonl")


CONTESTANTS: dict[str, Callable[[Path, Path], None]] = {
    "ours": ours,
    "datasets": by_datasets,
    "our audit": our_audit,
    "our tokens": our_tokens,
}


# ---------------------------------------------------------------- the result


def summary(n: int, runs: dict[str, list[dict[str, float]]], light: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Medians, spreads, and bytes a row."""
    seconds = {name: [run["seconds"] for run in found] for name, found in runs.items()}
    peak = {name: max(run["peak_mb"] for run in found) for name, found in runs.items()}
    return {
        "name": "data",
        "ratio": round(statistics.median(seconds["datasets"]) / statistics.median(seconds["ours"]), 3)
        if {"datasets", "ours"} <= seconds.keys()
        else None,
        "rows": n,
        "seconds": {name: sorted(found) for name, found in seconds.items()},
        "peak_mb": peak,
        "bytes_a_row": {name: round((peak[name] - light[name]["peak_mb"]) * 2**20 / (0.9 * n)) for name in runs},
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("datasets", "pyarrow", "rensa", "py3langid", "pydantic")},
    }


if __name__ == "__main__":
    main()
