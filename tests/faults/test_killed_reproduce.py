"""`registry reproduce` that is killed leaves a checkout behind; the next one removes it."""

import signal
import subprocess
import sys
from pathlib import Path

from registry.model import reproduce
from support import repositories

KILLED = """
import os
from pathlib import Path
from registry.model import reproduce
with reproduce.worktree(Path.cwd(), "HEAD"):
    os.kill(os.getpid(), 9)
"""


def test_an_abandoned_checkout_is_removed_and_one_in_use_is_kept(registry_repo: Path) -> None:
    head = repositories.git_in(registry_repo, "rev-parse", "HEAD")
    assert subprocess.run([sys.executable, "-c", KILLED], cwd=registry_repo).returncode == -signal.SIGKILL
    (left,) = (registry_repo / reproduce.FOLDER).iterdir()
    with reproduce.worktree(registry_repo, head) as one, reproduce.worktree(registry_repo, head) as other:
        assert set((registry_repo / reproduce.FOLDER).iterdir()) == {one, other}
        assert str(left) not in repositories.git_in(registry_repo, "worktree", "list")
    assert list((registry_repo / reproduce.FOLDER).iterdir()) == []
    assert len(repositories.git_in(registry_repo, "worktree", "list").splitlines()) == 1
