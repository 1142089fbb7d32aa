"""Text of one segment -> token ids, so that ids of segments can be joined: no doubled BOS, no space from nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from harness.prompts import Segment
from harness.prompts.chat_template import control_tokens

LEADS = ("\n", ".", "0", "字")
"""Texts to put before a segment and to take off again; the first that a tokenizer keeps apart is used."""
KEPT_TEXTS = 256
"""Encodings of a style's own texts (headers, separators) that are kept."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """What joining segments needs to know of a tokenizer.

    `opening`: BOS, where the tokenizer opens a text with it by itself (Llama, Gemma; not GPT-2, Qwen, SmolLM2).
    `lead`: SentencePiece and some others put a space before a text; a segment that continues a row is encoded behind
    this lead, whose ids are taken off again. Empty where the tokenizer does no such thing.
    `control`: matches control tokens; None where the tokenizer has none.
    """

    tokenizer: Any
    opening: int | None
    lead: str
    control: re.Pattern[str] | None
    kept: dict[tuple[str, bool], list[int]] = field(default_factory=dict)
    prepared: dict[tuple[str, bool], list[int]] = field(default_factory=dict)

    def prepare(self, rows: Sequence[Sequence[Segment]]) -> None:
        """Encode what the entries of many rows say in one call, which is quicker; it is kept until the next call."""
        self.prepared.clear()
        wanted = dict.fromkeys(
            (segment.text, place == 0)
            for segments in rows
            for place, segment in enumerate(segments)
            if segment.literal and segment.text and not self._spells_control(segment)
        )
        if wanted:
            texts = [text if begins else self.lead + text for text, begins in wanted]
            found = self._encode_all(texts)
            taken = len(self._lead_ids(self.lead)) if self.lead else 0
            for key, ids in zip(wanted, found, strict=True):
                self.prepared[key] = ids if key[1] else ids[taken:]

    def _encode_all(self, texts: list[str]) -> list[list[int]]:
        """As the tokenizer does it, straight from its Rust part where it has one: that spares offsets and copies."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is None:
            found: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
            return found
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = False
        return [each.ids for each in backend.encode_batch_fast(texts, add_special_tokens=False)]

    def ids(self, segment: Segment, *, begins: bool) -> list[int]:
        """Ids of a segment; `begins`: whether it is the first of its row.

        Control tokens that the style writes are read as such; those that an entry spells out are mere text.
        """
        if segment.literal:
            return self._ids(segment, begins)
        key = segment.text, begins
        if key not in self.kept:
            if len(self.kept) >= KEPT_TEXTS:
                self.kept.clear()
            self.kept[key] = self._ids(segment, begins)
        return list(self.kept[key])

    def _ids(self, segment: Segment, begins: bool) -> list[int]:
        if not self._spells_control(segment):
            return self._encode(segment.text, begins, as_text=False)
        ids: list[int] = []
        for text, is_control in self._parted(segment):
            if is_control:
                ids.append(int(self.tokenizer.convert_tokens_to_ids(text)))
            else:
                ids += self._encode(text, begins and not ids, as_text=True)
        return ids

    def _encode(self, text: str, begins: bool, *, as_text: bool) -> list[int]:
        if not text:
            return []
        if not as_text and (text, begins) in self.prepared:
            return self.prepared[text, begins]
        options = {"split_special_tokens": True} if as_text else {}
        lead = "" if begins else self.lead
        ids: list[int] = self.tokenizer.encode(lead + text, add_special_tokens=False, **options)
        return ids[len(self._lead_ids(lead)) :] if lead else ids

    def _lead_ids(self, lead: str) -> list[int]:
        key = lead, True
        if key not in self.kept:
            self.kept[key] = self.tokenizer.encode(lead, add_special_tokens=False)
        return self.kept[key]

    def _spells_control(self, segment: Segment) -> bool:
        return any(spelled for _, spelled in self._controls(segment))

    def _controls(self, segment: Segment) -> Iterator[tuple[re.Match[str], bool]]:
        """Control tokens in the segment's text, and whether the entry spells them out (and not the style)."""
        for match in self.control.finditer(segment.text) if self.control else ():
            spelled = any(start < match.end() and match.start() < end for start, end in segment.literal)
            yield match, spelled

    def _parted(self, segment: Segment) -> Iterator[tuple[str, bool]]:
        """(text, whether it is a control token of the style's), joined to the segment's text."""
        done = 0
        for match, spelled in self._controls(segment):
            if not spelled:
                yield segment.text[done : match.start()], False
                yield match[0], True
                done = match.end()
        yield segment.text[done:], False


@lru_cache(maxsize=8)
def encoder_of(tokenizer: Any) -> Encoder:
    """The tokenizer's encoder, made once."""
    bos = tokenizer.bos_token_id
    opens = bos is not None and tokenizer.encode("")[:1] == [bos]
    control = control_tokens(tokenizer)
    pattern = re.compile("|".join(map(re.escape, control))) if control else None
    return Encoder(tokenizer, bos if opens else None, _lead(tokenizer), pattern)


def _lead(tokenizer: Any) -> str:
    """Empty where joined ids read as joined texts; else the first lead that the tokenizer keeps apart."""

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    if tokenizer.decode(encode("a") * 2) == "aa":
        return ""
    for lead in LEADS:
        ids = encode(lead)
        if ids and all(encode(lead + text)[: len(ids)] == ids for text in ("a", "A", " a", "\na", "1", "文")):
            return lead
    return ""
