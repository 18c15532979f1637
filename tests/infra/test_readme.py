"""The commands of infra/README.md are typed, with the template in place of an AWS account and a GitHub on loopback."""

import shlex
import sys
from pathlib import Path

from support import aws_cli, pages
from support.servers.github import GitHub, serve


def test_the_registry_is_deployed_described_and_deleted(tmp_path: Path) -> None:
    aws, state = tmp_path / "bin/aws", tmp_path / "stack.json"
    aws.parent.mkdir()
    aws.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, aws_cli.__file__, str(state)])} "$@"\n')
    aws.chmod(0o755)
    ask, deploy, describe, delete = pages.commands("infra/README.md")
    with serve(GitHub(repository="acme/data")) as github:
        env = pages.environment(**github.env(), PYTHONPATH=str(pages.ROOT / "tests"))
        env["PATH"] = f"{aws.parent}:{env['PATH']}"
        asked = pages.type_all([ask], pages.ROOT, env)
        assert set(asked.split()) <= set(deploy.text.split())  # the numbers that are deployed are those of GitHub
        outputs = pages.type_all([deploy, describe], pages.ROOT, env)
        assert "Init\tregistry init --lake s3://acme-images --staging s3://acme-data-staging " in outputs
        assert "\nVariables\t" in outputs
        pages.type_all([delete], pages.ROOT, env)
    assert not state.exists()
