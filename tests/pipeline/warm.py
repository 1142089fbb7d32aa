"""`harness` commands without the seconds of importing: one process that has imported all forks a child a command.

Only imports are shared: that process never computes before it forks, so that a child starts as a fresh one does, with
the folder, environment, files and arguments of the program that asks. Run as a script, this file is that program.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import select
import socket
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

IMPORTED = (
    "harness.compare",
    "harness.generators.local",
    "harness.pipeline",
    "judges.scripted_judge",
    "peft",
    "reports.publish",
    "rouge_score.rouge_scorer",
    "sacrebleu",
    "scipy.stats",
    "trainers.sft",
    "transformers.models.llama.modeling_llama",
)
LONGEST = 1 << 20


@functools.cache
def command() -> list[str]:
    """What stands for `python -m harness.cli`: its server starts with the first call and ends with this process."""
    import subprocess

    folder = tempfile.TemporaryDirectory(prefix="warm")
    address = f"{folder.name}/socket"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    process = subprocess.Popen(
        [sys.executable, "-c", f"from tests.pipeline.warm import serve; serve({listening.fileno()})"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        pass_fds=[listening.fileno()],
    )
    listening.close()
    atexit.register(lambda: (process.communicate(), folder.cleanup()))
    return [sys.executable, "-S", "-E", __file__, address]


def serve(number: int) -> None:
    """Fork a child a request, one after another, until standard input ends."""
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()  # a child's collector does not walk, and so copy, what was imported
    listening = socket.socket(fileno=number)
    while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
        asking, _ = listening.accept()
        with asking:
            request, files, _, _ = socket.recv_fds(asking, LONGEST, 3)
            child = os.fork()
            if not child:
                _become(json.loads(request), files)
            for file in files:
                os.close(file)
            asking.sendall(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _become(request: dict[str, str | list[str] | dict[str, str]], files: list[int]) -> NoReturn:
    from harness.cli import main

    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.argv = ["harness", *request["arguments"]]
    try:
        status = main()
    except SystemExit as e:  # argparse
        status = e.code
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # without freeing, piece by piece, what was imported


def _ask(address: str, arguments: list[str]) -> int:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(address)
        request = {"arguments": arguments, "cwd": os.getcwd(), "env": dict(os.environ)}
        socket.send_fds(asking, [json.dumps(request).encode()], [0, 1, 2])
        return int(asking.recv(LONGEST))


if __name__ == "__main__":
    sys.exit(_ask(sys.argv[1], sys.argv[2:]))
