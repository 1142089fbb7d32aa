"""What ends a response, and what a model may repeat at its start: by token, and by text in whatever tokens."""

from __future__ import annotations

from typing import Any

from harness.generators.choosing import Row
from harness.prompts import ChatTemplateStyle, PromptStyle, around_answer, stop_strings
from harness.prompts.chat_template import control_tokens
from harness.records.rows import FinishReason
from trainers.tokens import encoder_of


class Endings:
    """End-of-sequence tokens, the style's stop strings, and the token with which a chat template closes an answer.

    `header`: ids that open an answer in a chat template; empty for other styles, whose headers are found as text.
    """

    def __init__(self, tokenizer: Any, configuration: Any, style: PromptStyle) -> None:
        """`configuration`: the model's generation config; None where it has none."""
        self._tokenizer, self._strings = tokenizer, stop_strings(style)
        configured = getattr(configuration, "eos_token_id", None)
        listed = configured if isinstance(configured, list) else [configured]
        spelled = [tokenizer.encode(stop, add_special_tokens=False) for stop in self._strings]
        single = [ids[0] for ids in spelled if len(ids) == 1]
        self.header: list[int] = []
        if isinstance(style, ChatTemplateStyle):
            encode = encoder_of(tokenizer).ids
            self.header, closing = (encode(segment, begins=False) for segment in around_answer(tokenizer))
            control = tokenizer.convert_tokens_to_ids(list(control_tokens(tokenizer)))
            single += [token for token in closing[:1] if token in control]
        self.tokens = frozenset(id for id in [tokenizer.eos_token_id, *listed, *single] if id is not None)
        # a token stands for at least one byte; one more, for the space that some tokenizers swallow at a text's start
        self._tail = 1 + max((len(stop.encode()) for stop in self._strings), default=-1)

    def reason(self, row: Row) -> FinishReason | None:
        """Why the row has ended; None where it goes on."""
        if row.ids[-1] in self.tokens:
            return "eos"
        if self._strings and self._stopped(row.ids[-self._tail :]) and self._stopped(row.ids):
            return "eos"
        return "length" if len(row.ids) >= row.limit else None

    def without_header(self, ids: list[int]) -> list[int]:
        """The response without a header that repeats the prompt's last one."""
        opened = len(self.header)
        return ids[opened:] if opened and ids[:opened] == self.header else ids

    def _stopped(self, ids: list[int]) -> bool:
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        return any(stop in text for stop in self._strings)
