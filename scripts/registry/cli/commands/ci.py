"""`registry ci`: the commands of the workflows. Each treats the files that another job wrote as untrusted input."""

import json
from collections import defaultdict
from pathlib import Path

import click

from registry import console
from registry.checks import tracked_files
from registry.cli.workspace import here
from registry.core import names, reproductions
from registry.core.values import Kind
from registry.core.wording import plural
from registry.errors import Refused, RegistryError
from registry.integrations import cml, git, git_record_branch, git_trees, github, runner_machine
from registry.release import drift_issue, github_assets, refresh
from registry.report import acceptance, commit_status, github_images, json_input, posting, review
from registry.report.comment import Mark


@click.group()
def command() -> None:
    """Commands used by the GitHub Actions workflows (internal). Each can be run by hand, too."""


@command.command("pull-request")
@click.option("--branch", required=True, help="The branch of the pull request, in this repository.")
@click.option("--head", metavar="COMMIT", required=True, help="The commit that a run was started for.")
@click.option("--tell", is_flag=True, help="Set a pending registry/gate that says why a draft or another base waits.")
def pull_request(branch: str, head: str, *, tell: bool) -> None:
    """Find the open pull request of a branch that is to be judged, one into the default branch.

    Prints number=N; number= and the reason on stderr where there is none: a draft, another base, or a branch that moved
    on.
    """
    root = here().root
    repository = github.connect(root)
    found = review.find(root, repository, branch, head)
    if tell and found.waits:
        github.set_status(repository, head, commit_status.CONTEXT, "pending", found.reason)
    if found.reason:
        console.say(f"{branch}: {found.reason}", err=True)
    console.say(f"number={found.number or ''}")


@command.command()
@click.option("--head", metavar="COMMIT", required=True, help="The commit that a run is about to judge.")
@click.option("--url", required=True, help="The workflow run.")
def pending(head: str, url: str) -> None:
    """Set registry/gate to pending, unless the commit was judged before. Prints judged=true or judged=false."""
    repository = github.connect(here().root)
    is_judged = github.status_of(repository, head, commit_status.CONTEXT) in commit_status.DECIDED
    if not is_judged:
        github.set_status(repository, head, commit_status.CONTEXT, "pending", "a run is judging this commit", url)
    console.say(f"judged={str(is_judged).lower()}")


@command.command()
@click.argument("folder", metavar="REPORT", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--head", metavar="COMMIT", required=True, help="The commit that the run was started for.")
@click.option("--branch", required=True, help="The pull request's branch at origin.")
@click.option("--base", metavar="REVISION", required=True, help="The branch that the change is for: origin/main.")
def accept(folder: Path, head: str, branch: str, base: str) -> None:
    """Push the commit that a report of `registry judge` is about, unless the branch has moved on.

    The commit is made again from the training results beside the report, and only the same one is pushed. Prints
    commit=ID, and place=there, pushed or moved.
    """
    done = acceptance.accept(here().root, folder, head, branch, base)
    console.say(f"commit={done.commit}\nplace={done.place}")


@command.command()
@click.argument("number", metavar="PULL_REQUEST", type=int)
@click.option("--head", metavar="COMMIT", required=True, help="The commit that the new report will describe.")
@click.option("--url", required=True, help="The workflow run that makes the new report.")
def stale(number: int, head: str, url: str) -> None:
    """Mark the report of a pull request as being replaced by a new one.

    Nothing happens where there is none, or where it was made for this commit.
    """
    why = f"[a run]({url}) is making the report of {head[:10]}."
    posting.outdate(github.connect(here().root), number, head, why)


@command.command()
@click.argument("number", metavar="PULL_REQUEST", type=int)
@click.option(
    "--body",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The rendered report.md.",
)
@click.option("--commit", required=True, help="The commit that the report describes.")
@click.option("--head", metavar="COMMIT", default="", help="The commit from which CI made that commit, if another.")
@click.option(
    "--with-cml",
    metavar="[PROGRAM]",
    is_flag=False,
    flag_value=cml.PROGRAM,
    help="Post the first report with CML, if the program has the SHA-256 that CML_SHA256 says.",
)
def comment(number: int, body: Path, commit: str, head: str, with_cml: str | None) -> None:
    """Make a report the one comment of its kind on a pull request; prints its URL.

    The report that this token's author has posted before is updated; comments of others are neither changed nor
    removed. Without CML, or where CML fails, the report is posted through GitHub's API.
    """
    repository = github.connect(here().root)
    mark = Mark(commit, head if head != commit else "")
    text = posting.read_report(body)

    def first_post(text: str) -> int:
        return cml.create_comment(cml.find(with_cml or cml.PROGRAM), repository, number, commit, text)

    console.say(posting.post(repository, number, text, mark, first_post if with_cml else None).url)


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def pictures(folder: Path) -> None:
    """Push the pictures of a report to the branch `reports`, and write its report.md from report.json."""
    console.say(f"pictures: {github_images.publish(here().root, folder) or 'none'}")


@command.command()
@click.argument("report", metavar="REPORT.JSON", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--commit", required=True, help="The commit that gets the status.")
@click.option("--url", default="", help="The status links to this page.")
def gate(report: Path, commit: str, url: str) -> None:
    """Set the commit status registry/gate from a report: failure if the change is blocked, otherwise success.

    Prints state=success or state=failure.
    """
    status = commit_status.commit_status(json_input.parse(report.read_bytes()).page)
    github.set_status(github.connect(here().root), commit, commit_status.CONTEXT, status.state, status.description, url)
    console.say(f"registry/gate of {commit[:10]}: {status.description}", err=True)
    console.say(f"state={status.state}")


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--url", required=True, help="The workflow run that failed.")
def drift(folder: Path, url: str) -> None:
    """Open an issue with the output of the nightly checks that failed, or update the open one.

    Where they ended because a login to a store expired, nothing was found: that is printed, and no issue is opened.
    """
    if ends := drift_issue.find_unfinished(folder):
        console.say("\n".join(["the checks did not finish, so there is no issue; run the workflow again", *ends]))
        return
    repository = github.connect(here().root)
    console.say(drift_issue.report(repository, folder, url))


@command.command()
@click.argument("dataset", required=False)
def queries(dataset: str | None) -> None:
    """Print datasets=[...], a JSON list: every dataset that can be refreshed, or the given one."""
    found = (names.parse_id(dataset),) if dataset else refresh.find_queries(here().tree)
    console.say(f"datasets={json.dumps([str(artifact) for artifact in found])}")


@command.command()
@click.option("--trusted-runner", default="", help="The variable TRUSTED_RUNNER: true where models are reproduced.")
def published(trusted_runner: str) -> None:
    """Print datasets=true or datasets=false, and models=: whether a version of one has a tag.

    Where models are published and there is no runner for trusted jobs, a notice says that they are not reproduced.
    """
    kinds = {tag.artifact.kind for tag in names.find_tags(git.tag_names(here().root))}
    for kind in Kind:
        console.say(f"{kind.folder}={str(kind in kinds).lower()}")
    if Kind.MODEL in kinds and trusted_runner != "true":
        steps = "register a runner with the label trusted-gpu, and set the variable TRUSTED_RUNNER to true"
        console.command(f"::notice title=models are not reproduced::{steps} (docs/runner.md of the template)", err=True)


@command.command()
@click.argument("folder", metavar="[FOLDER]", type=click.Path(path_type=Path), default=Path.home() / "actions-runner")
def runner(folder: Path) -> None:
    """Say whether this machine fits the jobs of a self-hosted GPU runner (docs/runner.md); exit code 1 if not.

    FOLDER is where GitHub's runner is unpacked, ~/actions-runner by default.
    """
    found = tuple(runner_machine.requirements(folder))
    for one in found:
        hint = f"\n      hint: {one.fix}" if one.fix else ""
        console.say(f"{'wrong' if one.fix else 'ok':<6}{one.name}: {one.found}{hint}")
    if wrong := [one.name for one in found if one.fix]:
        fix = "follow the hints above, then run the same command again"
        raise RegistryError(f"this machine does not fit: {', '.join(wrong)}", fix=fix)


@command.command()
@click.option("--base", metavar="REVISION", required=True, help="The branch that the change is for: origin/main.")
@click.option("--head", metavar="REVISION", default="HEAD", show_default=True, help="The change.")
def scope(base: str, head: str) -> None:
    """Print whether a change touches data or the verdict on it, and whether it touches programs.

    Prints data=true or data=false, and tooling=true or tooling=false. The table of files is in docs/reference/files.md;
    only Git objects are read, and nothing of the change is run.
    """
    root = here().root
    old = git.merge_base(root, git.resolve_commit(root, base), git.resolve_commit(root, head))
    with git_trees.Revision(root, head) as tree:
        found = tracked_files.touched(git.changed_paths(root, old, tree.commit), tree)
    console.say(f"data={str(found.data).lower()}\ntooling={str(found.tooling).lower()}")


@command.command()
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
def unattested(out: Path) -> None:
    """List the release manifests whose GitHub release has no attestation, as sha256sum does; no file where none is."""
    root = here().root
    listed = github_assets.list_unattested(github.connect(root), github_assets.named_manifests(root))
    if listed:
        out.write_text(listed, encoding="utf-8")
    console.say(f"{plural(len(listed.splitlines()), 'release manifest')} to attest")


@command.command("record-reproductions")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def record_reproductions(file: Path) -> None:
    """Add the results of `registry reproduce --out` to the branch registry-reproductions of origin.

    `registry show`, the catalog and `registry dossier` tell the last one of a release.
    """
    root = here().root
    git.require_identity(root)
    found = [reproductions.parse(line, str(file)) for line in file.read_text(encoding="utf-8").splitlines()]
    tags = git.tag_names(root)
    for one in found:
        if str(one.tag) not in tags:
            raise Refused(f"{file}: {one.tag} is not published", fix="git fetch --tags")
    lines = defaultdict[str, str](str)
    for one in found:
        lines[reproductions.path(one.tag)] += reproductions.write(one)
    said = "; ".join(f"{one.tag}: {'' if one.is_reproduced else 'not '}reproduced" for one in found)
    git_record_branch.append(root, reproductions.BRANCH, lines, said)
    console.say(said)


@command.command("attach-attestation")
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def attach_attestation(bundle: Path) -> None:
    """Attach a bundle of attestations to the GitHub releases whose manifests it is about."""
    root = here().root
    for tag in github_assets.attach_bundle(github.connect(root), github_assets.named_manifests(root), bundle):
        console.say(f"{tag}: attached the attestation to the GitHub release")
