"""Stands in for `aws cloudformation`, with the template in place of an account: aws_cli.py STATE cloudformation …

It knows the options that infra/README.md uses, and fails on others. What is deployed is kept in the file STATE.
"""

import argparse
import json
import sys
from pathlib import Path

import jmespath

from support.cloudformation import PATH, Stack


def deploy(given: argparse.Namespace, state: Path) -> None:
    """Apply the parameters to the template, with its constraints; resources of IAM have to be acknowledged."""
    assert Path(given.template_file).resolve() == PATH
    stack = Stack(**dict(one.split("=", 1) for one in given.parameter_overrides))
    roles = stack.of_type("AWS::IAM::Role")
    needed = "CAPABILITY_NAMED_IAM" if any("RoleName" in role for role in roles.values()) else "CAPABILITY_IAM"
    assert given.capabilities == needed
    outputs = [{"OutputKey": key, "OutputValue": value} for key, value in stack.outputs.items()]
    state.write_text(json.dumps({"StackName": given.stack_name, "Outputs": outputs}))


def describe_stacks(given: argparse.Namespace, state: Path) -> None:
    """What the query selects, as the CLI prints text: a line for each row, its values with tabs between them."""
    stack = json.loads(state.read_text())
    assert (stack["StackName"], given.output) == (given.stack_name, "text")
    for row in jmespath.search(given.query, {"Stacks": [stack]}):
        print("\t".join(row))


def delete_stack(given: argparse.Namespace, state: Path) -> None:
    """Forget it."""
    assert json.loads(state.read_text())["StackName"] == given.stack_name
    state.unlink()


COMMANDS = {
    "deploy": (deploy, ("--template-file", "--capabilities", "--parameter-overrides")),
    "describe-stacks": (describe_stacks, ("--query", "--output")),
    "delete-stack": (delete_stack, ()),
}


def main(state: str, service: str, command: str, *words: str) -> None:
    """Run one command."""
    assert service == "cloudformation"
    run, options = COMMANDS[command]
    parser = argparse.ArgumentParser(prog=f"aws {service} {command}", allow_abbrev=False)
    for option in ("--stack-name", *options):
        parser.add_argument(option, required=True, nargs="+" if option == "--parameter-overrides" else None)
    run(parser.parse_args(words), Path(state))


if __name__ == "__main__":
    main(*sys.argv[1:])
