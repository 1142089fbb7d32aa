"""Training speed on the CPU: our loop against TRL, the transformers Trainer and a plain padded loop, in one run.

Every contestant trains SmolLM2-135M on the same examples in the same steps (batch 8, AdamW, lr 5e-5, weight decay 0.1,
linear decay; no clipping, as in the book's loop, or --clip-norm), each in a process of its own, in turns. First a
qualifying round on the first piece of work finds TRL's and the Trainer's best configuration for this machine; then the
rounds count. The last line is JSON: `ratio` is TRL's best median step ÷ ours.

    python benchmarks/train.py --data instruction-data.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
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

BATCH, LR, WEIGHT_DECAY, EPOCHS = 8, 5e-5, 0.1, 2
WORKS = ("alpaca/prompt", "phi/prompt", "alpaca/none")
TRL = ("trl fp32", "trl bf16", "trl fp32 padding-free", "trl bf16 padding-free", "trl fp32 packing", "trl bf16 packing")
OTHERS = ("trainer fp32", "trainer bf16", "plain loop fp32")
OURS = "ours"
SKIPPED = 2
"""First steps of a process, which warm up and are not counted."""


# ---------------------------------------------------------------- the parent: turns and ratios


def main() -> None:
    """Qualify, take turns, print."""
    arguments = parsed()
    if arguments.contestant:
        print(json.dumps(contest(arguments.contestant, arguments.folder, arguments.steps)))
        return
    if not arguments.data.is_file():
        sys.exit(f"{arguments.data} is not there; give the book's instruction-data.json with --data")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "clip.json").write_text(json.dumps(arguments.clip_norm))
        prepare(arguments.work[0], arguments.data, Path(folder))
        contestants = qualified(arguments.qualify, Path(folder))
        summary = [measure(work, contestants, arguments, Path(folder)) for work in arguments.work]
    first = summary[0]
    print(
        json.dumps(
            {
                "name": "train",
                "clip_norm": arguments.clip_norm,
                "ratio": first["ratio"],
                "peak_fraction": first["peak_fraction"],
                "memory_ratio": first["memory_ratio"],
                "start_s": first["start_s"],
                "works": summary,
                "machine": machine(),
                "versions": {name: version(name) for name in ("torch", "transformers", "trl", "accelerate")},
            }
        )
    )


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("HARNESS_DATA_DIR", ".")) / "instruction-data.json"
    parser.add_argument("--data", type=Path, default=default, help="the book's 1,100 entries")
    parser.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS), help="style/masking")
    parser.add_argument("--steps", type=int, default=10, help="optimizer steps a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--qualify", type=int, default=5, help="steps of the qualifying round")
    parser.add_argument("--clip-norm", type=float, metavar="NORM", help="clip gradients (default: no)")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def qualified(steps: int, folder: Path) -> list[str]:
    """Ours, the fastest TRL, the fastest Trainer, and the plain loop."""
    trials = {name: turn(name, folder, steps) for name in (*TRL, *OTHERS)}
    for name, trial in trials.items():
        found = trial["error"] if "error" in trial else f"{step_seconds([trial]):6.2f} s a step"
        print(f"qualifying  {name:24} {found}", flush=True)
    return [OURS, best(TRL, trials), best([name for name in OTHERS if "trainer" in name], trials), "plain loop fp32"]


def measure(work: str, contestants: list[str], arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One piece of work: all contestants in turns; prints a table, gives the figures."""
    best_trl = contestants[1]
    tokens = prepare(work, arguments.data, folder)
    print(f"\n{work}: a step has {tokens['tokens']:.0f} tokens, {tokens['loss_tokens']:.0f} with loss", flush=True)
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    peaks = []
    for _ in range(arguments.rounds):
        peaks.append(turn("matmul peak", folder, 0)["gflops"])
        for name in contestants:
            turns[name].append(turn(name, folder, arguments.steps))
    seconds = {name: step_seconds(found) for name, found in turns.items()}
    for name in contestants:
        memory = max(t["peak_bytes"] for t in turns[name]) / 2**30
        print(
            f"  {name:24} {seconds[name]:6.2f} s a step, {seconds[name] / seconds[OURS]:5.2f} × ours, {memory:.2f} GiB"
        )
    same = compare_losses(turns)
    mine = turns[OURS]
    peak = max(peaks)
    flops = statistics.median(t["flops"] / s for t in mine for s in [statistics.median(t["seconds"][SKIPPED:])])
    figures = {
        "work": work,
        "ratio": round(seconds[best_trl] / seconds[OURS], 2),
        "trl_best": best_trl,
        "step_s": {name: round(value, 3) for name, value in seconds.items()},
        "peak_fraction": round(flops / 1e9 / peak, 3),
        "matmul_gflops": round(peak),
        "memory_ratio": round(max(t["peak_bytes"] for t in mine) / mine[0]["state_bytes"], 2),
        "start_s": round(statistics.median(t["start_s"] for t in mine), 2),
        "largest_loss_difference_fp32": same,
        "precision": mine[0]["precision"],
    }
    print("  " + json.dumps(figures))
    return figures


def turn(name: str, folder: Path, steps: int) -> dict[str, Any]:
    """One contestant in a process of its own; what it printed, or its error."""
    command = [sys.executable, __file__, "--contestant", name, "--folder", str(folder), "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - itself
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:200]}
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def step_seconds(turns: list[dict[str, Any]]) -> float:
    """Median seconds of eight examples over all counted steps of all turns."""
    return statistics.median(s for t in turns for s in t["seconds"][SKIPPED:])


def best(names: Any, trials: dict[str, dict[str, Any]]) -> str:
    """The fastest of the contestants that ran."""
    return min((name for name in names if "error" not in trials[name]), key=lambda name: step_seconds([trials[name]]))


def compare_losses(turns: dict[str, list[dict[str, Any]]]) -> float | None:
    """Largest difference between our losses and those of fp32 contestants on the same examples (None: ours is bf16)."""
    mine = turns[OURS][0]
    if mine["precision"] != "fp32":
        return None
    theirs = [t for name, found in turns.items() if "fp32" in name and "packing" not in name for t in found]
    return max((abs(a - b) for t in theirs for a, b in zip(mine["losses"], t["losses"], strict=False)), default=None)


def machine() -> dict[str, Any]:
    """What the figures hold for."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "bf16": "avx512_bf16" in Path("/proc/cpuinfo").read_text()}


def prepare(work: str, data: Path, folder: Path) -> dict[str, Any]:
    """Convert the model once, and write the training rows in the order in which our loop takes them."""
    import torch

    from harness.prompts import STYLES, render
    from harness.records.data import Example
    from harness.records.settings import TrainSettings
    from trainers.masking import MaskPolicy, encode
    from trainers.models import convert, load, locate
    from trainers.schedules import batch_at

    model = folder / "model"
    if not model.is_dir():
        convert(locate("smollm2-135m"), model)
    style, masking = work.split("/")
    tokenizer = load(model, dtype=torch.float32).tokenizer
    entries = json.loads(data.read_text())[:935]
    rows = [
        encode(tokenizer, render(STYLES[style], Example(id=str(i), **entry)), MaskPolicy(masking))
        for i, entry in enumerate(entries)
    ]
    settings = TrainSettings(epochs=EPOCHS, batch_size=BATCH, lr=LR, weight_decay=WEIGHT_DECAY)
    order = [index for step in range(len(rows) // BATCH) for index in batch_at(step, settings, len(rows), seed=1)]
    ordered = [rows[index] for index in order]
    listing = [{"input_ids": row.ids, "labels": row.labels, "prompt": row.prompt_length} for row in ordered]
    (folder / "rows.json").write_text(json.dumps(listing))
    steps = len(order) / BATCH
    return {
        "rows": len(rows),
        "tokens": sum(len(row.ids) for row in ordered) / steps,
        "loss_tokens": sum(row.loss_tokens for row in ordered) / steps,
    }


# ---------------------------------------------------------------- the contestants, each in its own process


def contest(name: str, folder: Path, steps: int) -> dict[str, Any]:
    """Run one contestant for `steps` steps; seconds and loss of each, and the process's peak memory."""
    started = time.perf_counter()
    from harness.imports import many_modules

    with many_modules():
        import torch

    torch.set_num_threads(os.cpu_count() or 1)
    if name == "matmul peak":
        return {"gflops": matmul_peak()}
    from harness.commands.parsing import quiet_libraries

    quiet_libraries()
    kind, *how = name.split()
    run: Callable[..., dict[str, Any]] = {"ours": ours, "trl": trl, "trainer": trainer, "plain": plain}[kind]
    found = run(folder, steps, how)
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found["start_s"] = found.pop("first_step") - started
    return found


def matmul_peak() -> float:
    """GFLOP/s of the best square matrix product, in the better of fp32 and (where native) bf16."""
    import torch

    from trainers.precision import resolve

    a, b = torch.randn(2, 2048, 2048, dtype=torch.bfloat16 if resolve("auto") == "bf16" else torch.float32)
    best_seconds = float("inf")
    for _ in range(12):
        begun = time.perf_counter()
        a @ b
        best_seconds = min(best_seconds, time.perf_counter() - begun)
    return 2 * 2048**3 / best_seconds / 1e9


def ours(folder: Path, steps: int, how: list[str]) -> dict[str, Any]:
    """`trainers.sft.fit`, as `harness run` calls it."""
    from harness.imports import many_modules
    from harness.records.settings import TrainSettings

    with many_modules():
        from trainers.sft import fit
    import torch

    from trainers.masking import EncodedRow
    from trainers.models import load
    from trainers.packing import flatten
    from trainers.rows import NamedRow, TrainingRows
    from trainers.schedules import batch_at

    base = load(folder / "model", dtype=torch.float32)
    listing = json.loads((folder / "rows.json").read_text())
    rows = [
        EncodedRow(tuple(r["input_ids"]), tuple(r["labels"]), tuple(float(x != -100) for x in r["labels"]), r["prompt"])
        for r in listing
    ]
    settings = TrainSettings(
        epochs=EPOCHS,
        batch_size=BATCH,
        lr=LR,
        weight_decay=WEIGHT_DECAY,
        precision=how[0] if how else "auto",
        clip_norm=clip_norm(folder),
    )
    order = [index for step in range(len(rows) // BATCH) for index in batch_at(step, settings, len(rows), seed=1)]
    placed: list[NamedRow | None] = [None] * len(rows)
    for place, row in zip(order, rows, strict=True):  # so that the loop's own order gives the rows as written
        placed[place] = NamedRow(str(place), row)
    clock = Clock(steps)
    model = base.model.requires_grad_(True)
    clock.start()
    try:
        fit(model, TrainingRows(tuple(placed)), settings, LR, 1, on_step=lambda row, total: clock.step(row.loss))  # type: ignore[arg-type]
    except Enough:
        pass
    flat = [flatten(b).input_ids.shape[1] for b in batches([r["input_ids"] for r in listing])[SKIPPED:steps]]
    learning = [sum(x != -100 for r in b for x in r) for b in batches([r["labels"] for r in listing])[SKIPPED:steps]]
    config = model.config
    head = config.vocab_size * config.hidden_size
    parameters = sum(p.numel() for p in model.parameters())
    from trainers.ledger import training_flops
    from trainers.precision import resolve

    flops = training_flops(
        parameters - head, head, statistics.mean(flat), statistics.mean(learning), trained=parameters
    )

    return clock.found() | {
        "flops": flops,
        "state_bytes": 16 * parameters,
        "precision": how[0] if how else resolve("auto"),
    }


def batches(rows: list[Any]) -> list[list[Any]]:
    """Consecutive eights."""
    return [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]


def trl(folder: Path, steps: int, how: list[str]) -> dict[str, Any]:
    """TRL's SFTTrainer on the same token ids and labels."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    listing = json.loads((folder / "rows.json").read_text())
    packing = "packing" in how
    columns = [{"input_ids": r["input_ids"], "labels": r["labels"]} for r in listing]
    width = round(sum(len(r["input_ids"]) for r in listing) / len(listing) * BATCH)
    config = SFTConfig(
        **training_arguments(folder, how),
        padding_free="padding-free" in how,
        packing=packing,
        max_length=width if packing else None,
        dataset_kwargs={"skip_prepare_dataset": True} if not packing else None,
    )
    if packing:  # a packed row holds about as many tokens as eight examples
        config.per_device_train_batch_size = 1
    model = loaded(folder)
    sft = SFTTrainer(
        model=model, args=config, train_dataset=Dataset.from_list(columns), processing_class=tokenizer(folder)
    )
    clock = Clock(steps)
    sft.add_callback(watch(clock))
    sft.train()
    found = clock.found()
    if packing:  # seconds of eight examples
        scale = BATCH * len(sft.train_dataset) / len(listing)
        found["seconds"] = [s * scale for s in found["seconds"]]
    return found


def trainer(folder: Path, steps: int, how: list[str]) -> dict[str, Any]:
    """The transformers Trainer with DataCollatorForSeq2Seq on the same token ids and labels."""
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    listing = json.loads((folder / "rows.json").read_text())
    rows = [
        {"input_ids": r["input_ids"], "labels": r["labels"], "attention_mask": [1] * len(r["labels"])} for r in listing
    ]
    hf = Trainer(
        model=loaded(folder),
        args=TrainingArguments(**training_arguments(folder, how)),
        train_dataset=rows,  # type: ignore[arg-type]
        data_collator=DataCollatorForSeq2Seq(tokenizer(folder), padding=True),
    )
    clock = Clock(steps)
    hf.add_callback(watch(clock))
    hf.train()
    return clock.found()


def plain(folder: Path, steps: int, how: list[str]) -> dict[str, Any]:
    """The loop of a tutorial: pad, forward with labels, backward, clip, step."""
    import torch

    listing = json.loads((folder / "rows.json").read_text())
    model = loaded(folder).train()
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}], lr=LR
    )
    total, limit = EPOCHS * len(listing) // BATCH, clip_norm(folder)
    clock = Clock(steps)
    clock.start()
    for number, batch in enumerate(batches(listing)[:steps]):
        width = max(len(r["input_ids"]) for r in batch)
        ids = torch.tensor([r["input_ids"] + [0] * (width - len(r["input_ids"])) for r in batch])
        seen = torch.tensor([[1] * len(r["input_ids"]) + [0] * (width - len(r["input_ids"])) for r in batch])
        labels = torch.tensor([r["labels"] + [-100] * (width - len(r["input_ids"])) for r in batch])
        loss = model(input_ids=ids, attention_mask=seen, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        if limit is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
        for group in optimizer.param_groups:
            group["lr"] = LR * (1 - number / total)
        optimizer.step()
        try:
            clock.step(loss.item())
        except Enough:
            break
    return clock.found()


def training_arguments(folder: Path, how: list[str]) -> dict[str, Any]:
    """What TRL and the Trainer are told alike."""
    return {
        "output_dir": str(folder / "output"),
        "use_cpu": True,
        "bf16": "bf16" in how,
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": EPOCHS,
        "learning_rate": LR,
        "weight_decay": WEIGHT_DECAY,
        "lr_scheduler_type": "linear",
        "max_grad_norm": clip_norm(folder) or 0.0,  # 0: no clipping
        "optim": "adamw_torch_fused",
        "gradient_checkpointing": False,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def clip_norm(folder: Path) -> float | None:
    """The norm at which all contestants clip; None: they do not."""
    found: float | None = json.loads((folder / "clip.json").read_text())
    return found


def loaded(folder: Path) -> Any:
    """The base model in fp32, as every contestant gets it."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)


def tokenizer(folder: Path) -> Any:
    """Its tokenizer, with a padding token."""
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(folder / "model")
    found.pad_token = found.pad_token or found.eos_token
    return found


class Enough(Exception):
    """All steps of the turn are done."""


class Clock:
    """Seconds and loss of each step."""

    def __init__(self, steps: int) -> None:
        self.steps, self.seconds, self.losses = steps, [], []  # type: ignore[var-annotated]
        self.last = self.first = 0.0

    def start(self) -> None:
        """The first step begins."""
        self.last = self.first = time.perf_counter()

    def step(self, loss: float) -> None:
        """A step has ended. Raises Enough after the last."""
        self.stop_watch()
        self.losses.append(loss)
        if len(self.seconds) >= self.steps:
            raise Enough

    def stop_watch(self) -> None:
        """Note the time since the last step's end."""
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now

    def found(self) -> dict[str, Any]:
        """As the parent reads it."""
        return {"seconds": self.seconds, "losses": self.losses, "first_step": self.first}


def watch(clock: Clock) -> Any:
    """A Trainer callback that clocks steps and ends after enough of them."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.stop_watch()
            if len(clock.seconds) >= clock.steps:
                control.should_training_stop = True

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                clock.losses.append(logs["loss"])

    return Watch()


if __name__ == "__main__":
    main()
