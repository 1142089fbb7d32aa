"""A published run on the Hugging Face Hub, as a Space."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.errors import HarnessError
from harness.store import MatrixRun, Store
from reports.bundle import bundle


def upload(store: Store, run: MatrixRun, repository: str, *, texts: bool) -> str:
    """Upload the run's folder as the Space `org/name`; gives its address. The token is the Hub client's own.

    Raises HarnessError where there is no token, or the Hub refuses.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    if not get_token():
        raise HarnessError(
            "no Hugging Face token", where=f"--to hf:{repository}", hint="`hf auth login`, or set HF_TOKEN"
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "space"
        bundle(store, run, folder, texts=texts)
        try:
            api = HfApi()
            url = api.create_repo(repository, repo_type="space", space_sdk="docker", exist_ok=True)
            api.upload_folder(repo_id=repository, repo_type="space", folder_path=folder)
        except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as e:
            raise HarnessError(
                f"the Hub refused: {e}", where=f"--to hf:{repository}", hint="check the name and the token's rights"
            ) from e
    return str(url)
