"""The store: sealed last, torn lines dropped, damage found, locks waited for, newer versions refused."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness import store as store_module
from harness.cli import main
from harness.errors import HarnessError, StoreError
from harness.finished import find_matrix
from harness.records.inputs import AskInput, DataInput, SourceInput
from harness.records.plan import Plan, PlannedStage
from harness.records.rows import Generation, LossRow
from harness.records.settings import SplitSettings
from harness.store import PEOPLE, Store, planned, translated_disk_errors, write_atomically
from tests.ugly_store import ugly_store


def stage(seed: str = "a") -> PlannedStage:
    return planned(DataInput(sources=(SourceInput(format="json", identity=seed * 64),), split=SplitSettings()))


def row(step: int) -> LossRow:
    return LossRow(step=step, loss=1.5, loss_tokens=3, lr=1e-3, grad_norm=0.1)


def test_no_seal_not_done(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    with store.making(stage()) as writer:
        writer.append([row(1)])
    assert store.sealed(stage().key) is None
    with pytest.raises(StoreError, match="not finished"):
        store.read(stage().key, LossRow)


def test_what_was_sealed_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    with store.making(stage()) as writer:
        writer.append([row(1)])
        writer.append([row(2)])
        writer.finish()
    assert store.read(stage().key, LossRow) == [row(1), row(2)]
    seal = store.sealed(stage().key)
    assert seal is not None
    assert seal.rows == 2
    assert {file.path for file in seal.files} == {"rows.jsonl", "spec.json"}


def test_torn_last_line_is_dropped_and_whole_ones_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    with store.making(stage()) as writer:
        writer.append([row(1), row(2)])
    rows = store.folder(stage().key) / "rows.jsonl"
    content = rows.read_bytes()
    rows.write_bytes(content[:-7])
    with store.making(stage()) as writer:
        assert writer.kept_rows(LossRow) == [row(1)]
        writer.append([row(2)])
    assert rows.read_bytes() == content


def test_checkpoints_outlive_whatever_fails_before_the_seal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "runs")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with store.making(stage()) as writer:
        (writer.scratch / "step-00000009").mkdir()
        with monkeypatch.context() as patched, pytest.raises(StoreError):
            patched.setattr("harness.store.writer.write_atomically", full)
            writer.finish()
        assert (writer.scratch / "step-00000009").is_dir()
        writer.finish()
    assert not (store.folder(stage().key) / "scratch").exists()


def test_a_matrix_file_stands_for_what_is_in_it_now(tmp_path: Path) -> None:
    store, file = Store(tmp_path / "runs"), tmp_path / "matrix.yaml"
    for seed, lr in (("a", 1e-3), ("b", 2e-3)):
        written = f"name: tiny\ndata: starter-en\naxes: {{model: [m]}}\ntrain: {{lr: {lr}}}\n"
        store.write_matrix(a_plan(stage(seed)).model_copy(update={"matrix_digest": seed * 64}), written)
    assert find_matrix(store, "tiny").plan.data == stage("b").key
    for seed, lr in (("a", 1e-3), ("b", 2e-3)):
        file.write_text(f"# {seed}\nname: tiny\ndata: starter-en\naxes: {{model: [m]}}\ntrain: {{lr: {lr}}}\n")
        assert find_matrix(store, str(file)).plan.data == stage(seed).key
    file.write_text("name: tiny\ndata: starter-en\naxes: {model: [m]}\n")
    with pytest.raises(HarnessError, match="was not run as it stands now") as caught:
        find_matrix(store, str(file))
    assert "tiny-aaaaaaaa" in (caught.value.hint or "")


def test_half_written_weights_are_thrown_away(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    with store.making(stage()) as writer:
        (writer.weights / "half.safetensors").write_bytes(b"x")
    with store.making(stage()) as writer:
        assert list(writer.weights.iterdir()) == []


def test_identity_is_content(tmp_path: Path) -> None:
    assert stage("a").key != stage("b").key
    assert stage("a").key == stage("a").key
    other = planned(DataInput(sources=(SourceInput(format="json", identity="a" * 64),), split=SplitSettings(train=0.8)))
    assert other.key != stage("a").key


@pytest.mark.parametrize("damage", ["edit", "delete", "spec"])
def test_verify_finds_damage(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path / "runs")
    with store.making(stage()) as writer:
        writer.append([row(1)])
        writer.finish()
    assert [problems for _, problems in store.verify()] == [[]]
    folder = store.folder(stage().key)
    if damage == "edit":
        (folder / "rows.jsonl").write_text((folder / "rows.jsonl").read_text().replace("1.5", "1.4"))
    elif damage == "delete":
        (folder / "rows.jsonl").unlink()
    else:
        (folder / "spec.json").write_text("{}")
    [(_, problems)] = store.verify()
    assert problems


def test_a_damaged_seal_is_reported_with_the_others_and_a_strange_folder_passed_over(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    for seed in ("a", "b"):
        with store.making(stage(seed)) as writer:
            writer.finish()
    (store.folder(stage().key) / "seal.json").write_text("{")
    (store.root / "objects/strange/folder").mkdir(parents=True)
    assert sorted(len(problems) for _, problems in store.verify()) == [0, 1]
    assert sorted(item.state for item in store.ls()) == ["damaged", "sealed"]


def test_garbage_is_what_no_matrix_refers_to(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    with store.making(stage()) as writer:
        writer.finish()
    assert [item.key for item in store.garbage()] == [stage().key]
    assert [item.key for item in store.collect()] == [stage().key]
    assert store.ls() == []


def a_plan(needs: PlannedStage) -> Plan:
    return Plan(matrix="tiny", matrix_digest="d" * 64, data=needs.key, stages=(needs,), variants=(), judges=())


def test_what_only_a_forgotten_run_used_is_garbage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "runs")
    for seed in ("a", "b"):
        with store.making(stage(seed)) as writer:
            writer.finish()
        store.write_matrix(a_plan(stage(seed)).model_copy(update={"matrix_digest": seed * 64}), "")
    assert store.garbage() == []
    assert main(["store", "forget", "tiny", "--store", str(store.root)]) == 2
    assert "tiny-aaaaaaaaaaaa" in capsys.readouterr().err
    assert main(["store", "forget", "tiny-aaaaaaaaaaaa", "--store", str(store.root)]) == 0
    assert [item.key for item in store.garbage()] == [stage("a").key]


def test_an_unreadable_plan_stops_the_collection(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    with store.making(stage()) as writer:
        writer.finish()
    folder = store.write_matrix(a_plan(stage()), "")
    (folder / "plan.json").write_text('{"of another version": 1}')
    for look in (store.garbage, lambda: list(store.collect())):
        with pytest.raises(StoreError, match=r"plan\.json: this plan cannot be read"):
            look()
    assert store.is_sealed(stage().key)


def test_a_run_that_begins_during_a_collection_loses_nothing(tmp_path: Path) -> None:
    store, needed = Store(tmp_path / "runs"), ("b", "c")
    for seed in ("a", *needed):
        with store.making(stage(seed)) as writer:
            writer.finish()
    collected = store.collect()
    first = next(collected)
    left, wanted = (stage(seed) for seed in ("a", *needed) if stage(seed).key != first.key)
    store.write_matrix(a_plan(wanted), "")
    with store.making(left):
        assert list(collected) == []
    assert store.is_sealed(left.key) and store.is_sealed(wanted.key)


def test_newer_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text('{"version": 99}')
    with pytest.raises(StoreError, match="layout version 99"):
        Store(tmp_path)


def test_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text("hello")
    with pytest.raises(StoreError, match="not a store"):
        Store(tmp_path)


def test_damaged_row_is_named_by_line(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    with store.making(stage()) as writer:
        writer.append([row(1)])
        writer.finish()
    with pytest.raises(StoreError, match=r"rows\.jsonl:1"):
        store.read(stage().key, Generation)


def test_full_disk_is_one_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "runs")
    with store.making(stage()) as writer:

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", "rows.jsonl")

        monkeypatch.setattr(Path, "open", full)
        with pytest.raises(StoreError, match="the disk is full"):
            writer.append([row(1)])


def test_really_full_disk(tmp_path: Path) -> None:
    """/dev/full answers every write as a full disk does."""
    with pytest.raises(StoreError, match="the disk is full"), store_module.translated_disk_errors(tmp_path):
        Path("/dev/full").write_text("x")


def test_a_refused_write_names_the_file_that_was_wanted(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match=f"^{tmp_path / 'no' / 'a.json'}: is not there"),
        translated_disk_errors(tmp_path),
    ):
        write_atomically(tmp_path / "no" / "a.json", "")


def test_a_folder_in_a_files_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="a folder stands where a file is needed"), translated_disk_errors(tmp_path):
        tmp_path.write_text("")


def test_what_is_damaged_or_gone_is_told_with_its_run_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ugly_store(tmp_path / "my runs")
    assert main(["store", "verify", "--store", str(store.root)]) == 0, "what failed never was"
    [run] = store.matrices()
    first, second, *_ = (each for each in run.plan.variants if each.train)
    with (store.folder(first.generate) / "rows.jsonl").open("a") as f:
        f.write("{}\n")
    assert second.train is not None
    store.remove(second.train)
    people = planned(AskInput(generations="g", data="d", backend=PEOPLE, model_identity="m", prompt_sha256="p"))
    with store.making(people) as writer:
        writer.append([row(1)])
        writer.finish()
    (store.folder(people.key) / "rows.jsonl").unlink()
    capsys.readouterr()
    assert main(["store", "verify", "--store", str(store.root)]) == 2
    told = capsys.readouterr().out
    assert f"({run.folder.name}: {first.variant.name}): rows.jsonl is not what was sealed" in told
    assert f"({run.folder.name}: {second.variant.name}): is missing" in told
    assert "2 damaged, 1 missing" in told and "`harness run` with the run's matrix" in told
    assert f"  rm -r '{store.folder(first.generate)}'\n" in told
    assert f"rm -r '{store.folder(people.key)}'" not in told and "backup" in told


def test_ls_names_runs_and_whom_objects_are_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ugly_store(tmp_path / "runs")
    with store.making(stage()) as writer:
        writer.finish()
    [run] = store.matrices()
    assert main(["store", "ls", "--store", str(store.root)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    objects = len(run.plan.stages)
    assert head == f"{run.folder.name}  {objects} of {objects} objects"
    trained = next(each for each in run.plan.variants if each.train)
    assert trained.train is not None
    [told] = [line for line in lines if trained.train.digest[:12] in line]
    assert told.endswith(f"  {run.folder.name}: {trained.variant.name}")
    [told] = [line for line in lines if stage().key.digest[:12] in line]
    assert told.endswith("no run uses it")


@pytest.mark.parametrize(
    ("store", "said"),
    [("/proc/nope", "is not there and cannot be made"), ("mine.txt/runs", "not a folder"), ("n" * 300, "too long")],
)
def test_a_store_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match=said) as caught:
        Store(Path(store)).create()
    assert caught.value.hint == "give another --store"


@pytest.mark.parametrize(
    "command",
    [("store", "ls", "--store"), ("store", "verify", "--store"), ("store", "gc", "--store"), ("leaderboard",)],
)
def test_a_store_that_is_not_there_is_not_called_sound(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert main([*command, str(tmp_path)]) == 2
    assert f"{tmp_path}: there is no store" in capsys.readouterr().err


def test_store_path_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("x")
    with pytest.raises(StoreError, match="a file stands where the store should be"):
        Store(tmp_path / "runs")


HOLDER = """
import sys, time
from pathlib import Path
from harness.store import Store
from tests.unit.test_store import stage, row
with Store(Path(sys.argv[1])).making(stage()) as writer:
    writer.append([row(1)])
    print("held", flush=True)
    time.sleep(60)
"""


def holder(runs: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(runs)], stdout=subprocess.PIPE, text=True, cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_killed_owner_leaves_no_lock_and_loses_no_row(tmp_path: Path) -> None:
    process = holder(tmp_path)
    assert [item.state for item in Store(tmp_path).ls()] == ["in progress"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [item.state for item in Store(tmp_path).ls()] == ["unfinished"]
    with Store(tmp_path).making(stage()) as writer:
        assert writer.kept_rows(LossRow) == [row(1)]


def test_a_living_owner_is_waited_for_and_named(tmp_path: Path) -> None:
    process = holder(tmp_path)
    said: list[str] = []

    def announce(text: str) -> None:
        said.append(text)
        process.kill()

    with Store(tmp_path).making(stage(), announce=announce, label="model/phi#1"):
        pass
    process.wait()
    assert said[0].startswith(f"data model/phi#1 is being made by process {process.pid}")


def test_atomic_write_leaves_old_text_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
