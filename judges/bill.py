"""What a round of judging took, counted from its reply rows, so that it holds over any number of interrupted runs.

A reply that was known already took no attempt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.records.rows import NoReply, Reply, ReplyRow
from harness.records.seal import AskFacts
from harness.records.settings import Price
from judges.budget import cost_of


def bill(rows: Sequence[ReplyRow], price: Price | None) -> AskFacts:
    """Calls, retries, tokens, seconds and money. Calls that were under way when a run was killed left no row."""
    replies = [row for row in rows if isinstance(row, Reply)]
    failed = [row for row in rows if isinstance(row, NoReply)]
    calls = sum(row.attempts for row in replies) + sum(row.attempts for row in failed)
    prompt, completion = sum(row.prompt_tokens for row in replies), sum(row.completion_tokens for row in replies)
    return AskFacts(
        calls=calls,
        retries=calls - sum(row.attempts > 0 for row in replies) - len(failed),
        prompt_tokens=prompt,
        completion_tokens=completion,
        failed=len(failed),
        seconds=math.fsum(row.seconds for row in replies),
        cost=None if price is None else cost_of(price, prompt, completion),
    )
