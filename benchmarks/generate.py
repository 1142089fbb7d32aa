"""Generation speed on the CPU: ours against `model.generate` at its best batch size, and llama.cpp with 8 slots.

SmolLM2-135M answers the book's 110 test prompts (Alpaca style, greedy, 64 new tokens, fp32). The contestants take turns
in one run, on batches of similar length; tokens are counted up to the end of sequence, the same way for all. The last
line is JSON: `ratio` is our tokens/s ÷ those of `model.generate` at the batch size that served it best, `cpu_ratio` the
same by CPU seconds, which other work on the machine moves less; `differing` how
many responses have other tokens than its, and `largest_gap` the largest distance of two logits at which one parted.

    python benchmarks/generate.py --data instruction-data.json [--weights TUNED_FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

SLOTS = 8
Turn = Callable[[], list[list[int]]]
"""Answers all prompts; gives the tokens of each."""


def main() -> None:
    """Take turns, print."""
    arguments = parsed()
    if not arguments.data.is_file():
        sys.exit(f"{arguments.data} is not there; give the book's instruction-data.json with --data")
    import torch

    from harness.generators.layout import lay_by_columns
    from trainers.models import convert, load, locate

    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.weights or Path(made)
        if arguments.weights is None:
            convert(locate("smollm2-135m"), folder)
        model = load(folder, dtype=torch.float32)
        mine = load(folder, dtype=torch.float32)  # laid out otherwise in memory, which the others shall not feel
    lay_by_columns(mine.model)
    prompts = read_prompts(arguments, model.tokenizer)
    ids = [encoded for _, encoded in prompts]
    contestants: dict[str, Turn] = {"ours": lambda: ours(mine, prompts, arguments.new_tokens)}
    for size in arguments.batch:
        contestants[f"model.generate, batch {size}"] = partial(theirs, model, ids, size, arguments.new_tokens)
    if arguments.weights is None and not arguments.without_llamacpp:
        contestants[f"llama.cpp, {SLOTS} slots"] = llamacpp(ids, arguments.new_tokens, arguments.threads)
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    cpu: dict[str, list[float]] = {name: [] for name in contestants}
    answers: dict[str, list[list[int]]] = {}
    for _ in range(arguments.rounds):
        for name, turn in contestants.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            answers[name] = turn()
            tokens = sum(map(len, answers[name]))
            speeds[name].append(tokens / (time.perf_counter() - began))
            cpu[name].append(tokens / (time.process_time() - began_cpu))
            print(
                f"{name:28} {speeds[name][-1]:7.1f} tokens/s, {cpu[name][-1]:7.1f} a CPU second, {tokens} tokens",
                flush=True,
            )
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    best = max((name for name in medians if name.startswith("model.generate")), key=lambda name: medians[name])
    parted = [k for k in range(len(ids)) if answers["ours"][k] != answers[best][k]]
    gaps = [gap(model.model, ids[k], answers["ours"][k], answers[best][k]) for k in parted]
    figures = {
        "name": "generate",
        "ratio": round(medians["ours"] / medians[best], 2),
        "cpu_ratio": round(statistics.median(cpu["ours"]) / statistics.median(cpu[best]), 2),
        "best": best,
        "weights": "tuned" if arguments.weights else "untuned",
        "tokens_s": {name: round(value, 1) for name, value in medians.items()},
        "prompts": len(ids),
        "differing": len(parted),
        "largest_gap": max(gaps, default=0.0),
        "machine": {"cpu": platform.processor(), "cores": os.cpu_count(), "threads": arguments.threads},
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    print(json.dumps(figures))


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("HARNESS_DATA_DIR", ".")) / "instruction-data.json"
    parser.add_argument("--data", type=Path, default=default, help="the book's 1,100 entries")
    parser.add_argument("--weights", type=Path, help="a tuned model's folder instead of the untuned one")
    parser.add_argument("--prompts", type=int, default=110, help="how many of the test prompts")
    parser.add_argument("--new-tokens", type=int, default=64, help="longest response")
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32, 110], help="batch sizes of model.generate")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--without-llamacpp", action="store_true")
    return parser.parse_args()


def read_prompts(arguments: argparse.Namespace, tokenizer: Any) -> list[tuple[Any, list[int]]]:
    """(prompt, token ids) of the book's test part."""
    from harness.generators.local import prompt_of
    from harness.prompts import STYLES
    from harness.records.data import Example
    from trainers.masking import encode_prompt

    entries = json.loads(arguments.data.read_text())[935 : 935 + arguments.prompts]
    examples = [Example(id=str(number), **entry) for number, entry in enumerate(entries)]
    prompts = [prompt_of(example, STYLES["alpaca"], tokenizer) for example in examples]
    return [(prompt, encode_prompt(tokenizer, prompt.segments)) for prompt in prompts]


def ours(model: Any, prompts: list[tuple[Any, list[int]]], new_tokens: int) -> list[list[int]]:
    """Continuous batching, as a run of the harness does it."""
    from harness.generators.local import Endings, pieces, responses, tasks_of
    from harness.prompts import STYLES
    from harness.records.settings import GenerateSettings

    settings = GenerateSettings(max_new_tokens=new_tokens, batch_size=len(prompts), precision="fp32")
    tasks = tasks_of(model.tokenizer, [prompt for prompt, _ in prompts], settings)
    ends = Endings(model.tokenizer, model.model.generation_config, STYLES["alpaca"])
    found = {
        piece[row.number].example_id: row.ids
        for piece in pieces(tasks, settings.batch_size)
        for finished in responses(model, piece, settings, ends)
        for row in finished
    }
    return [found[prompt.example_id] for prompt, _ in prompts]


def theirs(model: Any, prompts: list[list[int]], size: int, new_tokens: int) -> list[list[int]]:
    """`model.generate` on left-padded batches of similar length."""
    import torch

    eos, order = model.tokenizer.eos_token_id, sorted(range(len(prompts)), key=lambda k: len(prompts[k]))
    found: dict[int, list[int]] = {}
    for first in range(0, len(order), size):
        batch = order[first : first + size]
        width = max(len(prompts[k]) for k in batch)
        ids = torch.tensor([[0] * (width - len(prompts[k])) + prompts[k] for k in batch])
        seen = torch.tensor([[0] * (width - len(prompts[k])) + [1] * len(prompts[k]) for k in batch])
        output = model.model.generate(
            ids, attention_mask=seen, max_new_tokens=new_tokens, do_sample=False, eos_token_id=eos, pad_token_id=0
        )
        for k, row in zip(batch, output[:, width:].tolist(), strict=True):
            found[k] = row[: row.index(eos) + 1] if eos in row else row
    return [found[k] for k in range(len(prompts))]


def llamacpp(prompts: list[list[int]], new_tokens: int, threads: int) -> Turn:
    """llama.cpp's server on the same GGUF weights (which stay quantised), started here; all prompts sent at once."""
    import xllamacpp

    from harness.gguf import locate_gguf

    params = xllamacpp.CommonParams()
    params.model.path = str(locate_gguf("smollm2-135m"))
    params.verbosity, params.ui, params.warmup = -1, False, False
    params.n_parallel, params.n_ctx = SLOTS, 2048
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)

    def complete(prompt: list[int]) -> list[int]:
        body = {"prompt": prompt, "n_predict": new_tokens, "temperature": 0, "return_tokens": True}
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{server.listening_address}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=600) as response:  # noqa: S310
            return list(json.load(response)["tokens"])

    def turn() -> list[list[int]]:
        with ThreadPoolExecutor(SLOTS) as pool:
            return list(pool.map(complete, prompts))

    return turn


def gap(model: Any, prompt: list[int], mine: list[int], other: list[int]) -> float:
    """Distance of the two tokens' logits where two responses part: near nothing for a tie to rounding."""
    import torch

    at = next(i for i, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b)
    with torch.inference_mode():
        logits = model(torch.tensor([[*prompt, *mine[:at]]])).logits[0, -1]
    return abs(float(logits[mine[at]] - logits[other[at]]))


if __name__ == "__main__":
    main()
