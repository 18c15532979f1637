"""The CloudFormation template, linted and read: what it would make. test_roles.py tries what its policies allow."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from registry.scaffold import init
from support.cloudformation import ACCOUNT, JOB_ROLES, LAKE, PATH, PEOPLE, PRODUCTION, REGION, REQUIRED, STAGING, Stack


@pytest.fixture(scope="module")
def stack() -> Stack:
    return Stack(**REQUIRED, **PEOPLE, MakeLake="true")


def statements(document: Mapping[str, list[dict]]) -> list[dict]:
    return document["PolicyDocument" if "PolicyDocument" in document else "AssumeRolePolicyDocument"]["Statement"]


def listed(value: object) -> list:
    return value if isinstance(value, list) else [value]


def actions(stack: Stack, policy: str) -> set[str]:
    return {action for one in statements(stack.resources[policy]["Properties"]) for action in listed(one["Action"])}


def test_cfn_lint_finds_nothing() -> None:
    command = [Path(sys.executable).with_name("cfn-lint"), "--include-checks", "I", "--", PATH]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)
    assert "cfn-lint" not in PATH.read_text()  # no rule is ignored
    assert PATH.read_text().isascii()  # CloudFormation turns the rest into question marks


def test_every_parameter_has_a_description_and_a_constraint(stack: Stack) -> None:
    for name, spec in stack.template["Parameters"].items():
        assert spec["Description"], name
        is_bounded = spec["Type"] == "Number" and {"MinValue", "MaxValue"} <= set(spec)
        assert is_bounded or "AllowedValues" in spec or {"AllowedPattern", "ConstraintDescription"} <= set(spec), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Name", "Acme"),
        ("LakeBucket", "s3://acme-images"),
        ("BreakGlassArn", f"arn:aws:iam::{ACCOUNT}:role/*"),
        ("BreakGlassArn", f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/me"),
        ("Owner", "acme/data"),
        ("Repository", "data*"),
        ("RepositoryId", "data"),
        ("Branch", "*"),
        ("ContributorArns", "*"),
        ("ContributorArns", f"arn:aws:iam::{ACCOUNT}:root"),
        ("ConsumerArns", f"arn:aws:iam::{ACCOUNT}:user/*"),
        ("ErasureArns", f"arn:aws:iam::{ACCOUNT}:role/admin"),
        ("ErasureArns", f"arn:aws:iam::{ACCOUNT}:user/*"),
    ],
)
def test_a_parameter_that_grants_too_much_is_refused(name: str, value: str) -> None:
    with pytest.raises(AssertionError, match="is not allowed"):
        Stack(**(REQUIRED | {name: value}))


def test_buckets_are_private_versioned_encrypted_and_outlive_the_stack(stack: Stack) -> None:
    buckets = stack.of_type("AWS::S3::Bucket")
    assert {one["BucketName"] for one in buckets.values()} == {LAKE, STAGING, PRODUCTION}
    for name, bucket in buckets.items():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        rules = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rules == [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        assert stack.resources[name]["DeletionPolicy"] == stack.resources[name]["UpdateReplacePolicy"] == "Retain"
    policies = stack.of_type("AWS::S3::BucketPolicy")
    assert {one["Bucket"] for one in policies.values()} == {LAKE, STAGING, PRODUCTION}
    for name, policy in policies.items():
        first = statements(policy)[0]
        assert (first["Effect"], first["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        assert stack.resources[name]["DeletionPolicy"] == "Retain"


def test_only_staging_expires_objects() -> None:
    buckets = Stack(**REQUIRED, MakeLake="true", StagingDays=30).of_type("AWS::S3::Bucket")
    rules = {name: bucket["LifecycleConfiguration"]["Rules"] for name, bucket in buckets.items()}
    assert {rule.get("ExpirationInDays") for rule in rules["Staging"]} == {None, 30}
    for name, those in rules.items():
        assert any("AbortIncompleteMultipartUpload" in rule for rule in those)
        assert name == "Staging" or {key for rule in those for key in rule if "Expir" in key} == set()


def test_object_lock_is_optional() -> None:
    assert "ObjectLockEnabled" not in Stack(**REQUIRED).resources["Production"]["Properties"]
    locked = Stack(**REQUIRED, ObjectLockDays=365).resources["Production"]["Properties"]
    assert locked["ObjectLockEnabled"] is True
    rule = locked["ObjectLockConfiguration"]["Rule"]
    assert rule == {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 365}}


def test_no_principal_is_trusted_by_wildcard() -> None:
    stack = Stack(**REQUIRED, **PEOPLE, MakeLake="true", Public="true")
    documents = [*stack.of_type("AWS::S3::BucketPolicy").values(), *stack.of_type("AWS::IAM::Role").values()]
    allowed = [one for document in documents for one in statements(document) if one["Effect"] == "Allow"]
    assert len(allowed) == 8  # four jobs, three groups of people, CloudFront
    assert "*" not in json.dumps([one["Principal"] for one in allowed])
    assert [one["Condition"] for one in allowed if "Service" in one["Principal"]] == [
        {"StringEquals": {"aws:SourceArn": f"arn:aws:cloudfront::{ACCOUNT}:distribution/PublicDistribution"}}
    ]


def test_jobs_are_trusted_by_repository_and_environment_and_branch(stack: Stack) -> None:
    environments = {
        "ContributorRole": "refresh",
        "PullRequestRole": "gpu",
        "JudgeRole": "judge",
        "PublishRole": "production",
    }
    for name, environment in environments.items():
        claims = statements(stack.resources[name]["Properties"])[0]["Condition"]
        assert list(claims) == ["StringEquals"]  # nothing is matched by pattern
        claims = {key.rpartition(":")[2]: value for key, value in claims["StringEquals"].items()}
        assert claims.pop("ref", None) == (None if name == "PullRequestRole" else "refs/heads/main")
        assert claims == {
            "aud": "sts.amazonaws.com",
            "repository_id": "2002",
            "sub": [f"repo:acme/data:environment:{environment}", f"repo:acme@1001/data@2002:environment:{environment}"],
        }


def test_no_role_may_delete_or_change_a_bucket(stack: Stack) -> None:
    may = {
        "s3:ListBucket",
        "s3:GetBucketLocation",
        "s3:GetObject",
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    }
    for policy in ("ContributorPolicy", "PullRequestPolicy", "PublishPolicy"):
        assert actions(stack, policy) == may
    assert actions(stack, "ConsumerPolicy") == {"s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject"}
    for role in stack.of_type("AWS::IAM::Role").values():
        assert "Policies" not in role
        assert len(role["ManagedPolicyArns"]) == 1


def test_the_role_for_erasing_needs_mfa_and_only_deletes(stack: Stack) -> None:
    role = stack.resources["EraseRole"]["Properties"]
    [trusted] = statements(role)
    assert trusted["Principal"] == {"AWS": [f"arn:aws:iam::{ACCOUNT}:user/pia"]}
    assert trusted["Condition"] == {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    assert role["MaxSessionDuration"] == 3600
    assert actions(stack, "ErasePolicy") == {
        "s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetObject",
        "s3:DeleteObject", "s3:DeleteObjectVersion",
    }  # fmt: skip
    denied = {one["Sid"]: one["Condition"] for one in statements(stack.resources["ProductionPolicy"]["Properties"])}
    breaker, eraser = REQUIRED["BreakGlassArn"], f"arn:aws:iam::{ACCOUNT}:role/EraseRole"
    assert denied["DenyDeletion"] == {"ArnNotEquals": {"aws:PrincipalArn": [breaker, eraser]}}
    assert denied["DenyUnprotection"] == {"ArnNotEquals": {"aws:PrincipalArn": [breaker]}}


def test_without_users_for_it_the_break_glass_role_alone_can_erase() -> None:
    stack = Stack(**REQUIRED)
    assert not {"EraseRole", "ErasePolicy"} & set(stack.resources)
    assert "EraseRoleArn" not in stack.outputs
    denied = {one["Sid"]: one["Condition"] for one in statements(stack.resources["ProductionPolicy"]["Properties"])}
    assert denied["DenyDeletion"] == denied["DenyUnprotection"]


def test_deliveries_can_be_read_in_their_folder_by_contributors_alone() -> None:
    stack = Stack(**REQUIRED, DeliveriesBucket="acme-looker", DeliveriesFolder="weekly/")
    named = [
        (policy, statement["Sid"], statement["Action"], statement["Resource"], statement.get("Condition"))
        for policy, resource in stack.resources.items()
        if resource["Type"] == "AWS::IAM::ManagedPolicy"
        for statement in statements(resource["Properties"])
        if "acme-looker" in str(statement)
    ]
    bucket = "arn:aws:s3:::acme-looker"
    assert named == [
        ("ContributorPolicy", "FindDeliveries", "s3:ListBucket", bucket, {"StringLike": {"s3:prefix": "weekly/*"}}),
        ("ContributorPolicy", "ReadDeliveries", "s3:GetObject", f"{bucket}/weekly/*", None),
    ]


def test_a_lake_that_is_encrypted_with_kms_can_be_read_through_s3_alone() -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b"
    decrypt = statements(Stack(**REQUIRED, LakeKeyArn=key).resources["ContributorPolicy"]["Properties"])[-1]
    assert (decrypt["Action"], decrypt["Resource"]) == ("kms:Decrypt", key)
    assert decrypt["Condition"] == {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}


def test_existing_resources_are_not_created() -> None:
    stack = Stack(**REQUIRED, MakeGitHubProvider="false")
    assert not {"Lake", "LakePolicy", "GitHubProvider", "PublicDistribution", "ConsumerRole"} & set(stack.resources)
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    for name in JOB_ROLES:
        (job,) = statements(stack.resources[name]["Properties"])
        assert job["Principal"] == {"Federated": provider}


def test_public_access_serves_objects_and_no_listing() -> None:
    config = Stack(**REQUIRED, Public="true").resources["PublicDistribution"]["Properties"]["DistributionConfig"]
    assert config["DefaultRootObject"]
    assert config["DefaultCacheBehavior"]["AllowedMethods"] == ["GET", "HEAD"]
    assert config["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"
    assert config["Origins"][0]["OriginAccessControlId"] == "PublicAccessControl.Id"


def test_the_outputs_are_commands(stack: Stack) -> None:
    places = f"--lake s3://{LAKE} --staging s3://{STAGING} --production s3://{PRODUCTION}"
    assert stack.outputs["Init"] == f"registry init {places}"
    variables = dict(re.findall(r"gh variable set (\w+) --body (\S+)", stack.outputs["Variables"]))
    assert variables == {
        "AWS_REGION": REGION,
        "AWS_PULL_REQUEST_ROLE": f"arn:aws:iam::{ACCOUNT}:role/PullRequestRole",
        "AWS_JUDGE_ROLE": f"arn:aws:iam::{ACCOUNT}:role/JudgeRole",
        "AWS_PUBLISH_ROLE": f"arn:aws:iam::{ACCOUNT}:role/PublishRole",
        "AWS_REFRESH_ROLE": f"arn:aws:iam::{ACCOUNT}:role/ContributorRole",
    }


def test_the_name_of_the_stack_gives_init_its_buckets(stack: Stack) -> None:
    buckets = [stack.resources[name]["Properties"]["BucketName"] for name in ("Staging", "Production")]
    assert init.places_in(f"s3://{REQUIRED['Name']}") == tuple(f"s3://{bucket}" for bucket in buckets)


def test_the_readme_names_every_parameter_and_output(stack: Stack) -> None:
    text = PATH.with_name("README.md").read_text()
    assert [name for name in stack.template["Parameters"] if f"`{name}`" not in text and f"{name}=" not in text] == []
    assert [name for name in stack.template["Outputs"] if f"`{name}`" not in text] == []


def test_the_readme_deploys_with_the_required_parameters(stack: Stack) -> None:
    command = re.search(r"--parameter-overrides((?:[^`\\]|\\\n)+)", PATH.with_name("README.md").read_text())[1]
    given = dict(re.findall(r"(\w+)=(\S+)", command))
    assert set(given) == {name for name, spec in stack.template["Parameters"].items() if "Default" not in spec}
    assert Stack(**given).resources["Staging"]["Properties"]["BucketName"] == "acme-data-staging"
