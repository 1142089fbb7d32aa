"""examples/ci as files: both workflows by their services' published schemas, and the comment by its protocol."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from reports.check_markdown import MARKER as MARKERS
from tests.servers.loopback import Asked, Said, serve

MARKER = MARKERS.format("matrix.yaml", "main.json")
EXAMPLES = Path(__file__).parents[2] / "examples" / "ci"


@pytest.mark.parametrize(("file", "schema"), [("github.yml", "github-workflows"), ("gitlab.yml", "gitlab-ci")])
def test_workflows_are_valid_by_the_published_schema(file: str, schema: str, tmp_path: Path) -> None:
    """The schemas of json.schemastore.org and gitlab.com, as check-jsonschema ships them."""

    def checked(path: Path) -> int:
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
        return subprocess.run(command, capture_output=True, check=False).returncode

    assert checked(EXAMPLES / file) == 0
    wrong = tmp_path / file
    old, new = ("steps:", "stepz:") if file == "github.yml" else ("when: always", "when: sometimes")
    wrong.write_text((EXAMPLES / file).read_text().replace(old, new))
    assert checked(wrong) == 1


@pytest.mark.parametrize("service", ["github", "gitlab"])
@pytest.mark.parametrize("ours", [None, 107])
def test_the_comment_is_posted_once_and_edited_from_then_on(service: str, ours: int | None, tmp_path: Path) -> None:
    (tmp_path / "check.md").write_text(f"{MARKER}\n## harness check: pass – ✓\n", encoding="utf-8")
    full = [{"id": i, "body": "someone else's"} for i in range(99)]
    full.append({"id": 99, "body": f"{MARKERS.format('german.yaml', 'main.json')}\nof another matrix"})
    second = [{"id": 107, "body": f"{MARKER}\nolder"}] if ours else []

    def answer(one: Asked) -> Said:
        if one.method == "GET":
            return Said.of(full if one.path.endswith("page=1") else second if one.path.endswith("page=2") else [])
        return Said.of({"id": 1})

    with serve(answer) as server:
        env = {"GITHUB_API_URL": server.address, "GITHUB_REPOSITORY": "a/b", "GITHUB_TOKEN": "t", "PULL_REQUEST": "7"}
        if service == "gitlab":
            env = {"GITLAB_CI": "true", "CI_API_V4_URL": server.address, "CI_PROJECT_ID": "3", "GITLAB_TOKEN": "t"}
            env["CI_MERGE_REQUEST_IID"] = "7"
        done = commented(tmp_path, env)
    assert done.returncode == 0, done.stdout
    sent = server.asked[-1]
    where = {
        ("github", None): ("POST", "/repos/a/b/issues/7/comments"),
        ("github", 107): ("PATCH", "/repos/a/b/issues/comments/107"),
        ("gitlab", None): ("POST", "/projects/3/merge_requests/7/notes"),
        ("gitlab", 107): ("PUT", "/projects/3/merge_requests/7/notes/107"),
    }
    assert (sent.method, sent.path) == where[service, ours]
    assert sent.body == {"body": f"{MARKER}\n## harness check: pass – ✓\n"}
    assert sent.headers["authorization" if service == "github" else "private-token"].endswith("t")


def commented(folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The step, in an environment that names no other service."""
    ours = ("GITHUB_", "GITLAB_", "CI_", "PULL_REQUEST")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, str(EXAMPLES / "comment.py"), "check.md"]
    return subprocess.run(command, cwd=folder, env=clean | env, capture_output=True, text=True, check=False)


def test_a_comment_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    assert "nothing to say" in commented(tmp_path, {}).stdout
    (tmp_path / "check.md").write_text("text")
    missing = commented(tmp_path, {"GITHUB_API_URL": "http://127.0.0.1:9", "GITHUB_REPOSITORY": "a/b"})
    assert missing.returncode == 1 and "GITHUB_TOKEN is not set" in missing.stdout


def test_the_workflow_names_the_comments_variables() -> None:
    steps = yaml.safe_load((EXAMPLES / "github.yml").read_text())["jobs"]["check"]["steps"]
    [step] = [each for each in steps if each.get("name") == "Comment"]
    assert set(step["env"]) == {"GITHUB_TOKEN", "PULL_REQUEST"} and step["run"] == "python comment.py check.md"
