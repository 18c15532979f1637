"""The CloudFormation template with parameters applied: conditions evaluated, references resolved."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

Node = Any  # a part of a template: cfn-lint's YAML values, of any JSON type

PATH = Path(__file__).parents[2] / "infra" / "aws.yaml"
ACCOUNT, REGION = "000000000000", "eu-central-1"
NO_VALUE = object()
LAKE, STAGING, PRODUCTION = "acme-images", "acme-data-staging", "acme-data-production"
REQUIRED = {
    "Name": "acme-data",
    "LakeBucket": "acme-images",
    "BreakGlassArn": f"arn:aws:iam::{ACCOUNT}:user/break-glass",
    "Owner": "acme",
    "OwnerId": "1001",
    "Repository": "data",
    "RepositoryId": "2002",
}
PEOPLE = {
    "ContributorArns": f"arn:aws:iam::{ACCOUNT}:user/ann",
    "ConsumerArns": f"arn:aws:iam::{ACCOUNT}:user/carl",
    "ErasureArns": f"arn:aws:iam::{ACCOUNT}:user/pia",
}
JOB_ROLES = ("ContributorRole", "PullRequestRole", "JudgeRole", "PublishRole")
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": NO_VALUE,
}


class Stack:
    """`resources`, `outputs` and `template` (as it is written) of a stack made with these parameters."""

    def __init__(self, **parameters: object) -> None:
        self.template = cfn_yaml.load(str(PATH))
        given = {name: spec["Default"] for name, spec in self.template["Parameters"].items() if "Default" in spec}
        self.parameters = {name: self._typed(name, value) for name, value in (given | parameters).items()}
        self._conditions = {name: self._fill(rule) for name, rule in self.template["Conditions"].items()}
        self.resources = self._section("Resources")
        self.outputs = {name: output["Value"] for name, output in self._section("Outputs").items()}

    def of_type(self, kind: str) -> dict[str, dict[str, Node]]:
        """The properties of the resources of a type, by logical id."""
        return {name: one["Properties"] for name, one in self.resources.items() if one["Type"] == kind}

    def _typed(self, name: str, value: object) -> object:
        spec = self.template["Parameters"][name]
        listed = value.split(",") if spec["Type"] == "CommaDelimitedList" and isinstance(value, str) else value
        for one in listed if isinstance(listed, list) else [listed]:
            assert re.search(spec.get("AllowedPattern", ""), str(one)), f"{name}: {one} is not allowed"
            assert one in spec.get("AllowedValues", [one])
        return listed

    def _section(self, name: str) -> dict[str, dict[str, Node]]:
        chosen = {
            key: one for key, one in self.template[name].items() if self._conditions.get(one.get("Condition"), True)
        }
        return {key: self._fill(one) for key, one in chosen.items()}

    def _fill(self, node: Node) -> Node:
        if isinstance(node, Mapping):
            if len(node) == 1 and (name := next(iter(node))).startswith(("Fn::", "Ref")):
                return self._call(name, node[name])
            filled = {str(key): self._fill(value) for key, value in node.items()}
            return {key: value for key, value in filled.items() if value is not NO_VALUE}
        if isinstance(node, Sequence) and not isinstance(node, str):
            return [value for value in map(self._fill, node) if value is not NO_VALUE]
        return str(node) if isinstance(node, str) else node

    def _call(self, function: str, value: Node) -> Node:
        match function:
            case "Ref":
                return self._refer(value)
            case "Fn::GetAtt":
                return self._attribute(*(value if isinstance(value, list) else value.split(".")))
            case "Fn::Sub":
                return re.sub(r"\$\{([^}]+)\}", lambda found: str(self._named(found[1])), value)
            case "Fn::If":
                return self._fill(value[1] if self._conditions[value[0]] else value[2])
            case "Fn::Equals":
                return self._fill(value[0]) == self._fill(value[1])
            case "Fn::Not":
                return not self._fill(value[0])
            case "Fn::Join":
                return value[0].join(self._fill(value[1]))
        raise ValueError(f"{function} is not implemented here")

    def _named(self, name: str) -> Node:
        return self._attribute(*name.split(".")) if "." in name else self._refer(name)

    def _refer(self, name: str) -> Node:
        if name in PSEUDO or name in self.parameters:
            return PSEUDO[name] if name in PSEUDO else self.parameters[name]
        resource = self.template["Resources"][name]
        match resource["Type"]:
            case "AWS::S3::Bucket":
                return self._fill(resource["Properties"]["BucketName"])
            case "AWS::IAM::ManagedPolicy":
                return f"arn:aws:iam::{ACCOUNT}:policy/{name}"
            case "AWS::IAM::OIDCProvider":
                return f"arn:aws:iam::{ACCOUNT}:oidc-provider/{resource['Properties']['Url'].removeprefix('https://')}"
        return name

    def _attribute(self, name: str, attribute: str) -> str:
        match self.template["Resources"][name]["Type"], attribute:
            case "AWS::S3::Bucket", "Arn":
                return f"arn:aws:s3:::{self._refer(name)}"
            case "AWS::IAM::Role", "Arn":
                return f"arn:aws:iam::{ACCOUNT}:role/{name}"
        return f"{name}.{attribute}"
