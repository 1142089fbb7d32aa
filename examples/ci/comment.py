"""Post check.md as the comment of a pull or merge request; where one stands there already, that one is edited.

    python comment.py check.md

On GitHub it takes GITHUB_TOKEN (with `pull-requests: write`) and PULL_REQUEST, on GitLab GITLAB_TOKEN (a project access
token of scope `api`: a job's own token may not write notes); the rest is in the environment of every runner.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

LONGEST = 65_000
"""Characters; GitHub takes 65,536."""


def place(env: dict[str, str]) -> tuple[str, str, dict[str, str], str]:
    """(address of the comments, address of one comment by `{id}`, headers, method of an edit)."""
    if env.get("GITLAB_CI"):
        notes = "{CI_API_V4_URL}/projects/{CI_PROJECT_ID}/merge_requests/{CI_MERGE_REQUEST_IID}/notes".format(**env)
        return notes, notes + "/{id}", {"PRIVATE-TOKEN": env["GITLAB_TOKEN"]}, "PUT"
    issues = "{GITHUB_API_URL}/repos/{GITHUB_REPOSITORY}/issues".format(**env)
    headers = {"Authorization": f"Bearer {env['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"}
    return f"{issues}/{env['PULL_REQUEST']}/comments", issues + "/comments/{id}", headers, "PATCH"


def asked(address: str, headers: dict[str, str], method: str = "GET", body: str | None = None) -> Any:
    """What the server says."""
    data = None if body is None else json.dumps({"body": body}).encode()
    sent = headers | {"Content-Type": "application/json"}
    request = urllib.request.Request(address, data, sent, method=method)  # noqa: S310 - the runner's own server
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return json.load(response)


def main() -> int:
    """Find our comment by its first line, which names matrix and baseline, and edit it; or write a new one."""
    file = Path(sys.argv[1])
    if not file.is_file():
        print(f"{file} was not written: nothing to say")
        return 0
    text = file.read_text(encoding="utf-8")[:LONGEST]
    try:
        comments, one, headers, edit = place(dict(os.environ))
        marker, page, ours = text.partition("\n")[0], 1, None
        while ours is None and (found := asked(f"{comments}?per_page=100&page={page}", headers)):
            ours = next(
                (each["id"] for each in found if marker.startswith("<!--") and each["body"].startswith(marker)), None
            )
            page += 1
        if ours is None:
            asked(comments, headers, "POST", text)
        else:
            asked(one.format(id=ours), headers, edit, text)
    except KeyError as e:
        print(f"no comment: the environment variable {e.args[0]} is not set")
        return 1
    except (urllib.error.URLError, OSError) as e:
        print(f"no comment: {e}")
        return 1
    print("commented" if ours is None else f"comment {ours} brought up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
