"""Text of one segment -> token ids, so that ids of segments can be joined: no doubled BOS, no space from nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from harness.errors import ModelError
from harness.prompts import Segment
from harness.prompts.chat_template import control_tokens

Lead = tuple[str, tuple[int, ...]]
"""A text to put before a segment, and its ids, to take off again."""
LEADS = ("\n", ".", "0", "字")
"""Their texts, for a tokenizer to choose from."""
NO_LEAD: tuple[Lead, ...] = (("", ()),)
EXCERPT = 20
"""Characters of a text that an error shows."""
KEPT_TEXTS = 256
"""Encodings of a style's own texts (headers, separators) that are kept."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """What joining segments needs to know of a tokenizer.

    `opening`: BOS, where the tokenizer opens a text with it by itself (Llama, Gemma; not GPT-2, Qwen, SmolLM2).
    `leads`: SentencePiece and some others put a space before a text; a segment that continues a row is encoded behind
    one of these texts, whose ids are taken off again. NO_LEAD where the tokenizer does no such thing.
    `control`: matches control tokens; None where the tokenizer has none.
    """

    tokenizer: Any
    opening: int | None
    leads: tuple[Lead, ...]
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
        if not wanted:
            return
        lead, taken = self.leads[0]
        found = self._encode_all([text if begins else lead + text for text, begins in wanted])
        for (text, begins), ids in zip(wanted, found, strict=True):
            if begins:
                self.prepared[text, begins] = ids
            elif stands_first(taken, ids):  # else another lead is tried, once the text is asked for
                self.prepared[text, begins] = ids[len(taken) :]

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
        for lead, taken in NO_LEAD if begins else self.leads:
            ids: list[int] = self.tokenizer.encode(lead + text, add_special_tokens=False, **options)
            if stands_first(taken, ids):
                return ids[len(taken) :]
        raise ModelError(
            f"the tokenizer cannot tell the text {text[:EXCERPT]!r} from what stands before it",
            hint="drop the entry, or choose another model",
        )

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
    return Encoder(tokenizer, bos if opens else None, _leads(tokenizer), pattern)


def stands_first(lead: Sequence[int], ids: Sequence[int]) -> bool:
    """Whether these ids begin with those of the lead: a merge across its end would take text away."""
    return list(ids[: len(lead)]) == list(lead)


def _leads(tokenizer: Any) -> tuple[Lead, ...]:
    """No lead where joined ids read as joined texts; else those that can be read back, first one that common texts
    leave as it is. Raises ModelError where there is none.
    """

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    if tokenizer.decode(encode("a") * 2) == "aa":
        return NO_LEAD
    found = [(lead, encode(lead)) for lead in LEADS]
    read = [(lead, ids) for lead, ids in found if tokenizer.unk_token_id not in ids and reads(tokenizer, ids) == lead]
    if not read:
        raise ModelError("the tokenizer puts a space before every text, and has no token to tell it by",
                         hint="choose another model")  # fmt: skip
    common = ("a", "A", " a", "\na", "1", "文")
    read.sort(key=lambda each: not all(stands_first(each[1], encode(each[0] + text)) for text in common))
    return tuple((lead, tuple(ids)) for lead, ids in read)


def reads(tokenizer: Any, ids: Sequence[int]) -> str:
    """What the ids say, without the space that some tokenizers put before a text."""
    return str(tokenizer.decode(ids)).lstrip(" ")
