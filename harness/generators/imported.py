"""Responses made elsewhere: a file's rows, matched to test items by what was asked, never by their order.

Shapes that are recognised: rows with a response beside the prompt (the book's `model_response`; any field by name),
AlpacaEval's outputs (`instruction`, `output`, `generator`), lm-evaluation-harness's samples (`doc`, `resps`), and
Inspect's logs (`samples`, each with `input` and `output`).
"""

from __future__ import annotations

import json
import os
import struct
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.data.formats import Broken, jsonl_rows
from harness.data.shapes import has_half_characters
from harness.errors import DataError
from harness.prompts import STYLES, inference_prompt, render
from harness.records.data import Example
from harness.records.rows import FinishReason, Generation
from harness.thoughts import without_thoughts

RESPONSE_FIELDS = ("model_response", "response", "completion", "generated", "prediction", "model_output")
PROMPT_FIELDS = ("instruction", "prompt", "question", "query")
NAMED = 3
"""Test items without a response that a message names."""


@dataclass(frozen=True, slots=True)
class Response:
    """One response of a file. `prompts`: texts by which it may be matched; `reference`: the file's own, "" for none."""

    place: str
    prompts: tuple[str, ...]
    text: str
    reference: str = ""
    finish_reason: FinishReason = "unknown"


@dataclass(frozen=True, slots=True)
class Aligned:
    """Responses by test item, and what was left over."""

    rows: tuple[Generation, ...]
    unmatched: int
    """Responses of the file to prompts that are no test items."""
    missing: tuple[str, ...]
    """Ids of test items without a response."""


def read_responses(path: Path, field: str | None = None) -> list[Response]:
    """All responses of a file, without nulls and Inspect's samples that broke off.

    Raises DataError for the first row without a field for one.
    """
    rows = _rows(path)
    if not rows:
        raise DataError("holds no responses", where=str(path))
    found: list[Response] = []
    filters: dict[str, str] = {}
    for place, row in rows:
        where = f"{path}:{place}"
        if isinstance(row, Broken) or not isinstance(row, dict):
            raise DataError(row.reason if isinstance(row, Broken) else "is no JSON object", where=where)
        if not _broke_off(row) and not _filtered_anew(row, filters):
            found += _responses(row, field, where)
    return found


def align(
    responses: Sequence[Response], tests: Sequence[Example], path: Path, missing: Literal["fail", "leave out"]
) -> Aligned:
    """Match responses to test items by prompt; items that share a prompt by their references, then in order.

    Several responses to one prompt are its samples. Raises DataError where items stay without (unless told to leave
    them out), and where no item has one.
    """
    waiting: dict[str, list[Response]] = defaultdict(list)
    keys = _keys(tests)
    unmatched = 0
    for response in responses:
        key = next((keys[text] for prompt in response.prompts if (text := _plain(prompt)) in keys), None)
        if key is None:
            unmatched += 1
        else:
            waiting[key].append(response)
    rows: list[Generation] = []
    for key, items in _by_prompt(tests).items():
        for item, given in zip(items, _shared_out(items, waiting[key]), strict=True):
            rows += [_generation(item.id, sample, each) for sample, each in enumerate(given)]
    answered = {row.example_id for row in rows}
    left = tuple(item.id for item in tests if item.id not in answered)
    if left and (missing == "fail" or not rows):
        named = "; ".join(f"{item.id}: {_short(item)}" for item in tests if item.id in left[:NAMED])
        named += "; …" if len(left) > NAMED else ""
        raise DataError(
            f"{len(left)} of {len(tests)} test items have no response here ({named});"
            f" {unmatched} of its {len(responses)} responses are to other prompts",
            where=str(path),
            hint="make sure that it answers this split of this data set"
            + ("" if not rows else ", or set `missing: leave out`"),
        )
    return Aligned(tuple(rows), unmatched, left)


def _shared_out(items: Sequence[Example], given: Sequence[Response]) -> list[list[Response]]:
    """Responses to one prompt, for each of the items that have it."""
    if len(items) == 1:
        return [list(given)]
    shares: list[list[Response]] = [[] for _ in items]
    for each in given:
        same = [i for i, item in enumerate(items) if each.reference and _plain(item.output) == _plain(each.reference)]
        places = same or range(len(items))
        shares[min(places, key=lambda i: (len(shares[i]), i))].append(each)
    return shares


def _generation(example_id: str, sample: int, response: Response) -> Generation:
    text = without_thoughts(response.text)
    return Generation(
        example_id=example_id, sample=sample, text=text, finish_reason=response.finish_reason, tokens=0, seconds=0.0,
        cuts=("thoughts",) if text != response.text else (),
    )  # fmt: skip


# ---------------------------------------------------------------- prompts


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _key(item: Example) -> str:
    return _plain(f"{item.instruction} {item.input}")


def _by_prompt(tests: Sequence[Example]) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = defaultdict(list)
    for item in tests:
        found[_key(item)].append(item)
    return found


def _keys(tests: Sequence[Example]) -> dict[str, str]:
    """Every text that a prompt may have been put in -> the item's key: bare, or in one of the built-in styles."""
    found: dict[str, str] = {}
    for item in tests:
        key = _key(item)
        for style in STYLES.values():
            if style.kind == "text" and not item.history:
                prompt = "".join(segment.text for segment in inference_prompt(render(style, item)))
                found.setdefault(_plain(prompt), key)
    return found | {_key(item): _key(item) for item in tests}


def _short(item: Example) -> str:
    text = _key(item)
    return repr(text if len(text) <= 60 else text[:57] + "…")


# ---------------------------------------------------------------- files


def _rows(path: Path) -> list[tuple[str, Any]]:
    """(place, row) of a JSON array, JSON lines, or an Inspect log. Raises DataError."""
    try:
        if path.suffix == ".eval":
            return list(_inspect_archive(path))
        if path.suffix in (".jsonl", ".ndjson"):
            return list(jsonl_rows(path))
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile) as e:
        reason = "no such file" if isinstance(e, FileNotFoundError) else f"cannot be read ({e})"
        raise DataError(reason, where=str(path)) from e
    except json.JSONDecodeError as e:
        if e.msg == "Extra data":  # after a first value: JSON lines by another name
            return list(jsonl_rows(path))
        raise DataError(
            f"not JSON: {e.msg}",
            where=f"{path}:{e.lineno}",
            hint="responses are read from JSON, JSON lines (.jsonl, .ndjson) and Inspect's logs",
        ) from e
    samples = value.get("samples") if isinstance(value, dict) else value
    if not isinstance(samples, list):
        raise DataError("neither a list of rows nor an Inspect log", where=str(path), hint="see docs/generation.md")
    return [(f"row {number}", row) for number, row in enumerate(samples, 1)]


ZSTANDARD = 93
"""Inspect's compression, by the number that zip files have for it; Python's own reader knows it from 3.14 on."""


def _inspect_archive(path: Path) -> Iterator[tuple[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
            if entry.filename.startswith("samples/") and entry.filename.endswith(".json"):
                yield entry.filename, json.loads(_unpacked(path, archive, entry))


def _unpacked(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.compress_type != ZSTANDARD:
        return archive.read(entry)
    import pyarrow

    with path.open("rb") as f:  # PKWARE's APPNOTE 4.3.7: 30 bytes, name and extra field precede an entry's data
        f.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", f.read(4))
        f.seek(name + extra, os.SEEK_CUR)
        packed = pyarrow.BufferReader(f.read(entry.compress_size))
    return bytes(pyarrow.CompressedInputStream(packed, "zstd").read())


def _broke_off(row: Mapping[str, Any]) -> bool:
    """Whether it is a sample of Inspect's that ended in an error: an empty answer there is nobody's response."""
    output = row.get("output")
    return bool(row.get("error")) and isinstance(output, dict) and not output.get("choices")


def _filtered_anew(row: Mapping[str, Any], filters: dict[str, str]) -> bool:
    """Whether it is a sample of lm-evaluation-harness's that stood before under another filter; notes it in `filters`.

    Filters read scores from responses; the responses are the same.
    """
    if "resps" not in row or "filter" not in row:
        return False
    same = json.dumps([row.get("doc_id"), row.get("doc_hash"), row["resps"]])
    return filters.setdefault(same, str(row["filter"])) != str(row["filter"])


def _responses(row: Mapping[str, Any], field: str | None, where: str) -> list[Response]:
    if field is None and isinstance(row.get("doc"), dict) and "resps" in row:
        found = _harness_sample(row, where)
    elif field is None and "input" in row and isinstance(row.get("output"), dict):
        found = [_inspect_sample(row, where)]
    else:
        found = _plain_row(row, field, where)
    if any(has_half_characters(response.text) for response in found):
        raise DataError("a lone surrogate (half a character) in the response", where=where)
    return found


def _plain_row(row: Mapping[str, Any], field: str | None, where: str) -> list[Response]:
    """The row's response; none where it is null."""
    asked = next((str(row[name]) for name in PROMPT_FIELDS if isinstance(row.get(name), str)), None)
    if field is None:
        known = [name for name in RESPONSE_FIELDS if name in row] or ["output"] * ("generator" in row)  # AlpacaEval
        if len(known) > 1:
            raise DataError(
                f"several fields may hold the response: {', '.join(known)}",
                where=where,
                hint="say which with `field:`; another may be the reference answer",
            )
        field = next(iter(known), None)
    text = row.get(field) if field is not None else None
    if asked is not None and field in row and text is None:
        return []
    if asked is None or not isinstance(text, str):
        what = "prompt" if asked is None else f"response in {field!r}" if field else "field known to hold a response"
        raise DataError(
            f"has no {what}; its fields: {', '.join(map(str, row))}",
            where=where,
            hint="name the response's field with `field:`; the prompt is read from " + ", ".join(PROMPT_FIELDS),
        )
    reference = row.get("output") if field != "output" else ""
    given = row.get("input")
    whole = f"{asked} {given}" if isinstance(given, str) else asked
    return [Response(where, (whole,), text, reference if isinstance(reference, str) else "")]


def _harness_sample(row: Mapping[str, Any], where: str) -> list[Response]:
    """lm-evaluation-harness: `doc` is the task's row, `resps` a list of lists, `arguments` what the model was given.

    `resps[0]` holds the response, or all where the task repeats its request.
    """
    texts = row["resps"][0] if isinstance(row["resps"], list) and row["resps"] else None
    texts = texts if isinstance(texts, list) else [texts]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise DataError("its `resps` hold no text (a task of log-likelihoods?)", where=where)
    doc = row["doc"]
    asked = next((str(doc[name]) for name in PROMPT_FIELDS if isinstance(doc.get(name), str)), "")
    prompts = (f"{asked} {doc.get('input') or ''}", *_first_texts(row.get("arguments")))
    target = row.get("target")
    return [Response(where, prompts, text, target if isinstance(target, str) else "") for text in texts]


def _first_texts(arguments: Any) -> Iterator[str]:
    values = arguments.values() if isinstance(arguments, dict) else arguments if isinstance(arguments, list) else ()
    for value in values:
        first = next(iter(value.values() if isinstance(value, dict) else value), None) if value else None
        if isinstance(first, str):
            yield first


def _inspect_sample(row: Mapping[str, Any], where: str) -> Response:
    """Inspect: `input` is a text or messages, `output.choices[0]` the answer and why it ended."""
    asked, output = row["input"], row["output"]
    if isinstance(asked, list):
        asked = next((_content(m) for m in reversed(asked) if isinstance(m, dict) and m.get("role") == "user"), None)
    choices = output.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    text = _content(choice.get("message")) if choice else output.get("completion")
    if not isinstance(asked, str) or not isinstance(text, str):
        raise DataError("an Inspect sample without a text as input or output", where=where)
    reasons: dict[str, FinishReason] = {"stop": "eos", "max_tokens": "length"}
    target = row.get("target")
    return Response(
        where,
        (asked,),
        text,
        target if isinstance(target, str) else "",
        reasons.get(str(choice.get("stop_reason")), "unknown"),
    )


def _content(message: Any) -> str | None:
    """A message's text, that of its text parts joined; "" where it has no content; None for what is no message."""
    if not isinstance(message, dict):
        return None
    content = message.get("content")
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else "" if content is None else None
