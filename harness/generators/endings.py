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
    `stops`: stop strings that are one token, other than an end of sequence.
    """

    def __init__(self, tokenizer: Any, configuration: Any, style: PromptStyle) -> None:
        """`configuration`: the model's generation config; None where it has none."""
        self._tokenizer, self._strings = tokenizer, stop_strings(style)
        configured = getattr(configuration, "eos_token_id", None)
        listed = configured if isinstance(configured, list) else [configured]
        spelled = [tokenizer.encode(stop, add_special_tokens=False) for stop in self._strings]
        single = [ids[0] for ids in spelled if len(ids) == 1]
        self.stops = frozenset(single) - {tokenizer.eos_token_id, *listed}
        self.header: list[int] = []
        self._lead: list[int] = []
        self._lead_text = ""
        if isinstance(style, ChatTemplateStyle):
            around, encode = around_answer(tokenizer), encoder_of(tokenizer).ids
            self.header, closing = encode(around.header, begins=False), encode(around.end, begins=False)
            control = control_tokens(tokenizer)
            single += [token for token in closing[:1] if token in tokenizer.convert_tokens_to_ids(list(control))]
            if around.lead.text.strip():
                self._lead = encode(around.lead, begins=False)
                spelled_out = any(token in around.lead.text for token in control)  # which decoding leaves out
                self._lead_text = "" if spelled_out else around.lead.text
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

    def text(self, ids: list[int]) -> str:
        """The response's text without what a chat template puts before every answer.

        By its tokens, and by its text, whose end may share a token with the answer.
        """
        led = len(self._lead)
        if led and ids[:led] == self._lead:
            return str(self._tokenizer.decode(ids[led:], skip_special_tokens=True))
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).removeprefix(self._lead_text)

    def _stopped(self, ids: list[int]) -> bool:
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        return any(stop in text for stop in self._strings)
