"""A finished run as a folder that runs as a leaderboard elsewhere, with a static site beside it.

DIR/app.py requirements.txt Dockerfile README.md .streamlit/   what Streamlit's cloud, a Space or a container starts
DIR/harness/ reports/ leaderboard/                             this program's own sources, as far as a leaderboard needs
DIR/store/                                                     the run's sealed rows, without weights
DIR/site/                                                      index.html (the report), report.md, tables
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from importlib.metadata import version
from importlib.resources import files as package_files
from pathlib import Path

from harness.errors import HarnessError
from harness.records.inputs import StageKey
from harness.store import MatrixRun, Store, translated_disk_errors
from reports import tables
from reports.ledger import ledger
from reports.markdown import report_markdown
from reports.masks import cell_masks
from reports.page import report_html
from reports.published import published
from reports.samples import samples

PACKAGES = ("harness", "reports", "leaderboard")
NEEDED = (
    "streamlit", "pandas", "pyarrow", "numpy", "scipy", "evalica", "pydantic", "pyyaml", "filelock", "jinja2",
    "rich", "sacrebleu", "krippendorff", "vl-convert-python",
)  # fmt: skip
"""Distributions that a leaderboard imports; no torch among them."""
FROM_WEIGHTS = ("masks.json", "prompt_style.json", "chat_template.jinja", "tokenizer_config.json")
"""What a leaderboard reads beside the weights."""
WITH_TEXTS = frozenset({"probe", "generate", "ask", "contest", "judge"})
"""Stages, besides data and its audit, whose rows hold texts of items, responses or replies."""
APP = '''"""The leaderboard of one published run: `streamlit run app.py`."""

import sys
from pathlib import Path

here = Path(__file__).parent
sys.path.insert(0, str(here))
sys.argv[1:] = ["--store", str(here / "store")]

from leaderboard.app import main  # noqa: E402

main()
'''
CONFIG = """\
[browser]
gatherUsageStats = false
[client]
showErrorDetails = "none"
toolbarMode = "minimal"
[server]
fileWatcherType = "none"
[theme.light]
primaryColor = "#0068a8"
[theme.dark]
primaryColor = "#2478b5"
"""
DOCKERFILE = """\
FROM python:3.12-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
RUN useradd --create-home reader && chown -R reader /app
USER reader
EXPOSE 8501
CMD ["streamlit", "run", "app.py", "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]
"""


def bundle(store: Store, run: MatrixRun, folder: Path, *, texts: bool = True) -> None:
    """Write the folder. `texts`: with items, responses and replies; without them figures are all that leaves.

    Raises:
        HarnessError: the folder holds something already.
        StoreError: the disk refuses.

    """
    with translated_disk_errors(folder, "name another folder with --to"):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise HarnessError(f"{folder} holds something already", where="--to", hint="name a new or an empty folder")
        run = published(run, texts=texts)
        folder.mkdir(parents=True, exist_ok=True)
        _copy_sources(folder)
        _copy_run(store, run, folder / "store", texts=texts)
        _site(store, run, folder / "site", texts=texts)
        (folder / ".streamlit").mkdir()
        pinned = "".join(f"{name}=={version(name)}\n" for name in NEEDED)
        written = {"app.py": APP, ".streamlit/config.toml": CONFIG, "Dockerfile": DOCKERFILE,
                   "requirements.txt": pinned, "README.md": _readme(run, texts=texts)}  # fmt: skip
        for name, text in written.items():
            (folder / name).write_text(text, encoding="utf-8")


def _copy_sources(folder: Path) -> None:
    """The program as far as it shows results; `data/*.jsonl` is starter data that nobody reads here."""
    unneeded = shutil.ignore_patterns("__pycache__", "*.pyc", "*.jsonl")
    for package in PACKAGES:
        shutil.copytree(Path(str(package_files(package))), folder / package, ignore=unneeded)


# ---------------------------------------------------------------- the store


def _copy_run(store: Store, run: MatrixRun, root: Path, *, texts: bool) -> None:
    """The run's documents and rows; no matrix.yaml (paths of this machine stand in it), no weights, no log."""
    target = Store(root)
    target.create()
    documents = root / "matrices" / run.folder.name
    documents.mkdir(parents=True)
    for name, told in (("plan.json", run.plan), ("comparison.json", run.result)):
        if told is not None:
            (documents / name).write_text(told.model_dump_json(indent=1), encoding="utf-8")
    for key in _objects(run, texts=texts):
        if store.is_sealed(key):
            _copy_object(store.folder(key), target.folder(key), rows=texts or key.stage not in WITH_TEXTS, texts=texts)


def _objects(run: MatrixRun, *, texts: bool) -> Iterable[StageKey]:
    # the seals of the data and its audit name files and quote broken rows
    left_out = {"base"} if texts else {"base", "data", "audit"}
    return (stage.key for stage in run.plan.stages if stage.key.stage not in left_out)


def _copy_object(source: Path, target: Path, *, rows: bool, texts: bool) -> None:
    target.mkdir(parents=True)
    shutil.copyfile(source / "seal.json", target / "seal.json")
    if rows and (source / "rows.jsonl").exists():
        shutil.copyfile(source / "rows.jsonl", target / "rows.jsonl")
    for name in FROM_WEIGHTS if texts else ():
        if (source / "weights" / name).exists():
            (target / "weights").mkdir(exist_ok=True)
            shutil.copyfile(source / "weights" / name, target / "weights" / name)


# ---------------------------------------------------------------- the static site


def _site(store: Store, run: MatrixRun, folder: Path, *, texts: bool) -> None:
    result = run.result
    if result is None:
        raise HarnessError("nothing to publish: the matrix has no comparison yet", hint="harness run finishes it")
    folder.mkdir()
    bill = ledger(run, store)
    shown = (samples(run, store), cell_masks(run, store)) if texts else ((), ())
    pages = {"index.html": report_html(result, bill, *shown), "report.md": report_markdown(result, bill)}
    for name, text in (pages | tables.files(result)).items():
        (folder / name).write_text(text, encoding="utf-8")


def _readme(run: MatrixRun, *, texts: bool) -> str:
    """What it is and how to start it; the header is what a Hugging Face Space reads."""
    without = "" if texts else "Item texts, responses and judges' replies are left out; figures are all there is.\n\n"
    name = "".join(c if c.isalnum() or c in "-_. " else " " for c in run.name)
    return (
        f"---\ntitle: {name}\nsdk: docker\napp_port: 8501\npinned: false\n---\n\n# {name}\n\n"
        "Results of one matrix of fine-tuned variants, published by sft-harness.\n\n"
        f"{without}"
        "- here: `pip install -r requirements.txt && streamlit run app.py`\n"
        "- Streamlit Community Cloud: the app's file is `app.py`\n"
        "- a container: `docker build -t leaderboard . && docker run -p 8501:8501 leaderboard`\n"
        "- a Hugging Face Space: push this folder as it is\n"
        "- without any server: open or serve `site/index.html`\n"
    )
