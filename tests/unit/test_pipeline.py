"""What a stage raises, as the run is told of it."""

from __future__ import annotations

from pathlib import Path
from traceback import walk_tb
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import DataError, HarnessError, JudgeError, StoreError
from harness.pipeline import make_sealed, out_of_service, without_locals
from harness.records.inputs import ProbeInput
from harness.stages import Workshop
from harness.store import Store, planned

STAGE = planned(ProbeInput(data="d", items=2))


def broken_off(error: BaseException, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a stage that raises this."""

    def make(workshop: Workshop, *_: Any) -> None:
        raise error

    monkeypatch.setattr("harness.pipeline.make", make)
    nothing: Any = SimpleNamespace()
    workshop = Workshop(Store(root), nothing, lambda units: None, labels={STAGE.key: "judge: probes"})
    watcher: Any = SimpleNamespace(say=print)
    make_sealed(workshop, STAGE, watcher)


def test_an_unforeseen_error_is_told_with_stage_variant_and_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ZeroDivisionError("division by zero")
    with pytest.raises(HarnessError, match="judge: probes: stage probe broke off: ZeroDivisionError: div") as caught:
        broken_off(first, tmp_path, monkeypatch)
    assert caught.value.__cause__ is first and "--debug" in str(caught.value)
    with pytest.raises(HarnessError, match="broke off: KeyError\n"):
        broken_off(KeyError(), tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError("No space left on device"), StoreError),
        (StoreError("held"), StoreError),
        (BrokenPipeError(), BrokenPipeError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (SystemExit(3), SystemExit),
    ],
)
def test_what_ends_a_run_stays_what_it_is(
    error: BaseException, kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(kind) as caught:
        broken_off(error, tmp_path, monkeypatch)
    assert type(caught.value) is kind


def test_a_kept_error_shows_where_it_came_from_and_holds_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HarnessError) as caught:
        broken_off(ValueError("x"), tmp_path, monkeypatch)
    cause = caught.value.__cause__
    assert cause is not None
    *_, (frame, _) = walk_tb(cause.__traceback__)
    assert frame.f_code.co_name == "make" and "workshop" in frame.f_locals
    without_locals(caught.value)
    *_, (frame, _) = walk_tb(cause.__traceback__)
    assert frame.f_code.co_name == "make" and not frame.f_locals.keys() - {"error"}, "closures are the function's own"


def test_a_service_is_not_to_blame_for_what_it_is_asked() -> None:
    assert out_of_service(JudgeError("no answer"), "model") == {"model"}
    assert out_of_service(DataError("nothing to compare the response with"), "model") == set()
    assert out_of_service(JudgeError("no probe"), None) == set()
