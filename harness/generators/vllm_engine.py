"""Responses of vLLM's offline engine: many prompts at once on a GPU, and all adapters of a base in one engine."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import MissingExtra, ModelError
from harness.generators.choosing import Row, dice_of
from harness.generators.endings import Endings
from harness.generators.local import Task, check_room, generation, pieces, prompt_of, tasks_of
from harness.prompts import PromptStyle, refuse_another_style, stop_strings
from harness.records.data import SplitExample
from harness.records.inputs import GenerateInput
from harness.records.rows import Generation
from harness.records.settings import GenerateSettings
from trainers.memory import release
from trainers.models import load_tokenizer
from trainers.precision import resolve
from trainers.quantised import FILE

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values that vLLM takes for the highest rank of adapters."""
MOST_SEED = 2**31
ROOM = 512
"""The longest row counts as a multiple of this many tokens, so that variants of like lengths share an engine."""
INSTEAD = "set `generate.engine: transformers`"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an engine is made for. `context`: tokens of the longest row; `rank`: of its adapters, 0 for none."""

    folder: Path
    context: int
    dtype: str
    rows: int
    trust_remote_code: bool
    rank: int = 0

    def served_by(self, other: Wanted) -> bool:
        """Whether an engine made for `other` will do."""
        fits = self.rank <= other.rank and self.context <= other.context
        return fits and replace(self, rank=other.rank, context=other.context) == other


@dataclass(slots=True)
class VllmEngine:
    """At most one `vllm.LLM` at a time; it is kept from variant to variant as long as it fits."""

    _open: tuple[Wanted, Any] | None = None
    _adapters: dict[Path, int] = field(default_factory=dict)

    def generate_variant(
        self,
        input: GenerateInput,
        weights_folder: Path | None,
        base_folder: Path,
        examples: Sequence[SplitExample],
        style: PromptStyle,
        done: Set[tuple[str, int]] = frozenset(),
        *,
        trust_remote_code: bool = False,
    ) -> Iterator[list[Generation]]:
        """Responses to the test part, a piece of the work at a time; `weights_folder` None is the untuned base.

        Raises MissingExtra without vLLM; ModelError for an adapter that it does not take, for weights that were trained
        with another style (unless forced), and for a prompt that leaves no room in the context.
        """
        settings = input.settings
        if not settings.force_style:
            refuse_another_style(weights_folder or base_folder, style)
        adapter = weights_folder if weights_folder and (weights_folder / "adapter_config.json").is_file() else None
        folder = base_folder if adapter or weights_folder is None else weights_folder
        tokenizer, context = load_tokenizer(base_folder, trust_remote_code=trust_remote_code)
        tests = [each.example for each in examples if each.split == "test"]
        tasks = tasks_of(tokenizer, [prompt_of(each, style, tokenizer) for each in tests], settings)
        check_room(tasks, context)
        ends = Endings(tokenizer, _generation_config(folder), style)
        dtype = "bfloat16" if resolve(settings.precision) == "bf16" else "float32"
        longest = max(len(task.ids) + task.limit for task in tasks)
        room = min(context, ROOM * math.ceil(longest / ROOM))
        wanted = Wanted(folder, room, dtype, settings.batch_size, trust_remote_code, _rank(adapter))
        for piece in pieces(tasks, settings.batch_size):
            left = [task for task in piece if (task.example_id, task.sample) not in done]
            if left:
                rows = self._answer(wanted, adapter, left, settings, style, ends)
                yield [generation(style, left[row.number], row, ends) for row in rows]

    def close(self) -> None:
        """Give the GPU's memory back: the engine's, and what a training before it has left."""
        self._open = None  # the engine's processes end with the last reference to it
        release()

    def _answer(  # noqa: PLR0913 - one call of the engine
        self, wanted: Wanted, adapter: Path | None, tasks: Sequence[Task], settings: GenerateSettings,
        style: PromptStyle, ends: Endings,
    ) -> list[Row]:  # fmt: skip
        llm = self._llm(wanted)
        from vllm.lora.request import LoRARequest

        number = self._adapters.setdefault(adapter, len(self._adapters) + 1) if adapter else 0
        rows = [
            Row(place, task.ids, task.limit, dice_of(settings, task.example_id, task.sample))
            for place, task in enumerate(tasks)
        ]
        started = time.monotonic()
        outputs = llm.generate(
            [{"prompt_token_ids": list(task.ids)} for task in tasks],
            [_sampling(row, settings, style, ends) for row in rows],
            use_tqdm=False,
            lora_request=LoRARequest(f"adapter-{number}", number, str(adapter)) if adapter else None,
        )
        seconds = time.monotonic() - started
        for row, output in zip(rows, outputs, strict=True):
            row.ids = list(output.outputs[0].token_ids)
        made = sum(len(row.ids) for row in rows)
        for row in rows:
            row.seconds = seconds * len(row.ids) / max(1, made)
        return rows

    def _llm(self, wanted: Wanted) -> Any:
        if self._open is None or not wanted.served_by(self._open[0]):
            self.close()
            self._open = wanted, _opened(wanted)
        return self._open[1]


def _opened(wanted: Wanted) -> Any:
    try:
        from vllm import LLM
    except ImportError as e:
        raise MissingExtra("generate.engine: vllm", "vllm") from e
    lora = {"enable_lora": True, "max_lora_rank": wanted.rank} if wanted.rank else {}
    return LLM(
        model=str(wanted.folder),
        dtype=wanted.dtype,
        max_model_len=wanted.context,
        max_num_seqs=wanted.rows,
        trust_remote_code=wanted.trust_remote_code,
        generation_config="vllm",  # nothing decides the decoding that the matrix does not say
        seed=0,
        **lora,
    )


def _sampling(row: Row, settings: GenerateSettings, style: PromptStyle, ends: Endings) -> Any:
    """Greedy or drawn as by `Chooser`; the row's own seed makes its draws independent of its batch."""
    from vllm import SamplingParams

    drawn = settings.temperature > 0
    return SamplingParams(
        max_tokens=row.limit,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k or 0,  # 0: all
        repetition_penalty=settings.repetition_penalty,
        seed=row.dice.initial_seed() % MOST_SEED if drawn else None,
        stop=list(stop_strings(style)),
        stop_token_ids=sorted(ends.tokens),
    )


def _rank(adapter: Path | None) -> int:
    """The highest rank that the engine has to be made for; 0 without an adapter."""
    if adapter is None:
        return 0
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("use_dora"):
        raise ModelError("vLLM takes no DoRA adapters", where=str(adapter), hint=INSTEAD)
    if (adapter / FILE).is_file():
        raise ModelError("vLLM has not the 4-bit base of this adapter", where=str(adapter), hint=INSTEAD)
    rank = next((rank for rank in RANKS if rank >= config["r"]), None)
    if rank is None:
        raise ModelError(
            f"vLLM takes adapters up to rank {RANKS[-1]}, and this has {config['r']}", where=str(adapter),
            hint=INSTEAD,
        )  # fmt: skip
    return rank


def _generation_config(folder: Path) -> Any:
    """The model's own; None where it brings none."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(folder)
    except OSError:
        return None
