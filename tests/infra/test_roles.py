"""The roles of the CloudFormation template, tried with signed requests on a real S3 server.

What is tried is what the template makes: its bucket policies are put on the buckets, its policies and roles are given
to the server's IAM, and jobs and people get their credentials from the server's STS by the template's trust policies,
jobs with tokens signed as GitHub signs them. Everything goes over TLS, because the bucket policies refuse the rest.

SeaweedFS has other words for three things, which `_translated` puts in their place: the claims of a token are
`oidc:…`, the provider goes by its name, and who asks is known in bucket policies as `aws:username`. It cannot enforce
these, which are asserted on the document instead: MFA, public access blocks, bucket owner enforced, default
encryption, the lifecycle of staging, Object Lock's retention, KMS, and CloudFront's own right to read. Its `root`
escapes one denial (of deleting many at once), so an identity whose policy allows everything stands in for an
administrator of AWS.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from registry.demo.seaweedfs import Credentials, S3Server
from support.cloudformation import ACCOUNT, JOB_ROLES, LAKE, PEOPLE, PRODUCTION, REQUIRED, STAGING, Stack
from support.servers.token_issuer import Issuer, make_certificate

pytestmark = pytest.mark.s3

BODY = b"an object"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
ERASER = "pia"  # the name of a role's session is that of the person there
WITH_MFA = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}]}


def _translated(document: object) -> dict:
    """A policy in the words of SeaweedFS; see above."""
    text = json.dumps(document)
    text = text.replace(f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com", "github")
    text = text.replace("token.actions.githubusercontent.com:", "oidc:")
    text = text.replace(f', "Condition": {json.dumps(WITH_MFA)}', "")
    return json.loads(re.sub(r'"ArnNotEquals": {"aws:PrincipalArn": (\[[^]]*\])}', _by_name, text))


def _by_name(found: re.Match[str]) -> str:
    names = [ERASER if ":role/" in arn else arn.rpartition("/")[2] for arn in json.loads(found[1])]
    return f'"StringNotEquals": {{"aws:username": {json.dumps(names)}}}'


def iam_of(stack: Stack, keys_url: str) -> dict:
    """The template's roles and policies, and GitHub as the provider, as SeaweedFS reads them."""
    policies = stack.of_type("AWS::IAM::ManagedPolicy")
    provider = stack.resources["GitHubProvider"]["Properties"]
    return {
        "sts": {"tokenDuration": "1h", "maxSessionLength": "12h", "issuer": "loopback", "signingKey": "c2lnbmVk" * 8},
        "policy": {"defaultEffect": "Deny", "storeType": "memory"},
        "roleStore": {"storeType": "memory"},
        "providers": [
            {
                "name": "github",
                "type": "oidc",
                "enabled": True,
                "config": {"issuer": provider["Url"], "clientId": provider["ClientIdList"][0], "jwksUri": keys_url},
            }
        ],
        "policies": [{"name": name, "document": one["PolicyDocument"]} for name, one in policies.items()],
        "roles": [
            {
                "roleName": name,
                "roleArn": f"arn:aws:iam::{ACCOUNT}:role/{name}",
                "trustPolicy": _translated(role["AssumeRolePolicyDocument"]),
                "attachedPolicies": [arn.rpartition("/")[2] for arn in role["ManagedPolicyArns"]],
            }
            for name, role in stack.of_type("AWS::IAM::Role").items()
        ],
    }


@dataclass(frozen=True)
class Cloud:
    """A stack that was made, and who vouches for jobs."""

    server: S3Server
    issuer: Issuer
    sts: BaseClient

    def client(self, who: str | Credentials) -> BaseClient:
        """S3, over TLS."""
        return self.server.client(who, url=self.server.tls_url)

    def token(self, environment: str, *, ref: str = "refs/heads/main", **claims: object) -> str:
        """The token of a job of the repository, if `claims` do not say otherwise."""
        job = {
            "aud": "sts.amazonaws.com",
            "sub": f"repo:acme@1001/data@2002:environment:{environment}",
            "repository": "acme/data",
            "repository_id": "2002",
            "environment": environment,
            "ref": ref,
        }
        return self.issuer.token(job | claims)

    def job(self, role: str, token: str) -> Credentials:
        """What STS gives for a token."""
        where = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{role}", "RoleSessionName": "job"}
        return _credentials(self.sts.assume_role_with_web_identity(**where, WebIdentityToken=token))

    def person(self, role: str, identity: str) -> Credentials:
        """What STS gives to a person whom the account knows."""
        sts = self.server.client(identity, url=self.server.tls_url, service="sts")
        where = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{role}", "RoleSessionName": identity}
        return _credentials(sts.assume_role(**where))


def _credentials(answer: dict) -> Credentials:
    keys = answer["Credentials"]
    return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """The stack: buckets that hold `kept`, bucket policies in force, roles that wait for who may take them."""
    folder, stack = tmp_path_factory.mktemp("cloud"), Stack(**REQUIRED, **PEOPLE, MakeLake="true")
    with Issuer().serve() as issuer:
        server = S3Server(
            folder,
            buckets=[LAKE, STAGING, PRODUCTION],
            policies={
                "administrator": EVERYTHING,
                "break-glass": EVERYTHING,
                "ann": NOTHING,
                "carl": NOTHING,
                "pia": NOTHING,
            },
            iam=iam_of(stack, issuer.keys_url),
            certificate=make_certificate(folder),
        )
        with server:
            root = server.client(url=server.tls_url)
            for policy in stack.of_type("AWS::S3::BucketPolicy").values():
                fill_bucket(root, policy["Bucket"])
                document = json.dumps(_translated(policy["PolicyDocument"]))
                root.put_bucket_policy(Bucket=policy["Bucket"], Policy=document)
            yield Cloud(server, issuer, server.client(url=server.tls_url, service="sts"))


def fill_bucket(s3: BaseClient, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("kept", "overwritten"):
        s3.put_object(Bucket=bucket, Key=key, Body=BODY)


WAYS: Mapping[str, Callable[[Cloud], Credentials]] = {
    "contributor": lambda cloud: cloud.person("ContributorRole", "ann"),
    "refresh job": lambda cloud: cloud.job("ContributorRole", cloud.token("refresh")),
    "pull-request job": lambda cloud: cloud.job("PullRequestRole", cloud.token("gpu", ref="refs/pull/7/merge")),
    "judge job": lambda cloud: cloud.job("JudgeRole", cloud.token("judge")),
    "publish job": lambda cloud: cloud.job("PublishRole", cloud.token("production")),
    "consumer": lambda cloud: cloud.person("ConsumerRole", "carl"),
}
READ, WRITE = {"list", "get", "head"}, {"list", "get", "head", "put", "overwrite", "upload in parts"}
MAY = {
    "contributor": {LAKE: READ, STAGING: WRITE, PRODUCTION: READ},
    "refresh job": {LAKE: READ, STAGING: WRITE, PRODUCTION: READ},
    "pull-request job": {LAKE: {"list"}, STAGING: WRITE, PRODUCTION: READ},
    "judge job": {LAKE: {"list"}, STAGING: READ, PRODUCTION: READ},
    "publish job": {LAKE: set(), STAGING: READ, PRODUCTION: WRITE},
    "consumer": {LAKE: set(), STAGING: set(), PRODUCTION: READ},
}
EXPIRE = {"Rules": [{"ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]}


def upload_in_parts(s3: BaseClient, bucket: str) -> None:
    where = {"Bucket": bucket, "Key": "parts"}
    upload = where | {"UploadId": s3.create_multipart_upload(**where)["UploadId"]}
    s3.upload_part(**upload, PartNumber=1, Body=BODY)
    s3.abort_multipart_upload(**upload)


def delete_many(s3: BaseClient, bucket: str) -> None:
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "kept"}]})
    if "Errors" in answer:
        raise ClientError({"Error": answer["Errors"][0]}, "DeleteObjects")


DEEDS: Mapping[str, Callable[[BaseClient, str], object]] = {
    "list": lambda s3, bucket: s3.list_objects_v2(Bucket=bucket),
    "get": lambda s3, bucket: s3.get_object(Bucket=bucket, Key="kept"),
    "head": lambda s3, bucket: s3.head_object(Bucket=bucket, Key="kept"),
    "put": lambda s3, bucket: s3.put_object(Bucket=bucket, Key="new", Body=BODY),
    "overwrite": lambda s3, bucket: s3.put_object(Bucket=bucket, Key="overwritten", Body=BODY),
    "upload in parts": upload_in_parts,
    "delete": lambda s3, bucket: s3.delete_object(Bucket=bucket, Key="kept"),
    "delete many": delete_many,
    "delete a version": lambda s3, bucket: s3.delete_object(Bucket=bucket, Key="kept", VersionId="a" * 32),
    "delete the bucket": lambda s3, bucket: s3.delete_bucket(Bucket=bucket),
    "expire": lambda s3, bucket: s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=EXPIRE),
    "stop versioning": lambda s3, bucket: s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
    ),
    "change the policy": lambda s3, bucket: s3.put_bucket_policy(Bucket=bucket, Policy="{}"),
    "delete the policy": lambda s3, bucket: s3.delete_bucket_policy(Bucket=bucket),
}
ENDS = [deed for deed in DEEDS if deed not in WRITE]  # what would end something that is kept


def refused(deed: Callable[[], object]) -> bool:
    """Whether it is refused, for no other reason than that this person may not."""
    try:
        deed()
    except ClientError as error:
        if error.response["Error"]["Code"] in {"AccessDenied", "403"}:
            return True
        raise
    return False


@pytest.mark.parametrize("who", MAY)
def test_a_role_has_exactly_its_permissions(cloud: Cloud, who: str) -> None:
    s3 = cloud.client(WAYS[who](cloud))
    for bucket, allowed in MAY[who].items():
        done = {name for name, deed in DEEDS.items() if not refused(lambda deed=deed, bucket=bucket: deed(s3, bucket))}
        assert done == allowed, f"{who} in {bucket}"
    assert refused(lambda: s3.create_bucket(Bucket="one-more"))


@pytest.mark.parametrize(
    ("who", "source", "destination", "is_allowed"),
    [
        ("contributor", LAKE, STAGING, True),
        ("contributor", STAGING, PRODUCTION, False),
        ("pull-request job", LAKE, STAGING, False),
        ("pull-request job", STAGING, PRODUCTION, False),
        ("judge job", STAGING, STAGING, False),
        ("judge job", STAGING, PRODUCTION, False),
        ("publish job", STAGING, PRODUCTION, True),
        ("publish job", LAKE, PRODUCTION, False),
        ("publish job", PRODUCTION, STAGING, False),
        ("consumer", PRODUCTION, PRODUCTION, False),
    ],
)
def test_copies_inside_the_store(cloud: Cloud, who: str, source: str, destination: str, is_allowed: bool) -> None:
    s3 = cloud.client(WAYS[who](cloud))
    copy = {"Bucket": destination, "Key": f"copied by {who}", "CopySource": {"Bucket": source, "Key": "kept"}}
    assert refused(lambda: s3.copy_object(**copy)) is not is_allowed


@pytest.mark.parametrize("bucket", [LAKE, STAGING, PRODUCTION])
def test_nothing_passes_without_tls(cloud: Cloud, bucket: str) -> None:
    plain, secure = cloud.server.client("administrator"), cloud.client("administrator")
    assert DEEDS["get"](secure, bucket)["Body"].read() == BODY
    for deed in READ | WRITE:
        assert refused(lambda deed=deed: DEEDS[deed](plain, bucket)), deed


def test_only_the_break_glass_role_can_delete_from_production(cloud: Cloud) -> None:
    administrator, breaker = map(cloud.client, ("administrator", "break-glass"))
    assert [deed for deed in ENDS if not refused(lambda deed=deed: DEEDS[deed](administrator, PRODUCTION))] == []
    administrator.put_object(Bucket=PRODUCTION, Key="a mistake", Body=BODY)
    assert refused(lambda: administrator.delete_object(Bucket=PRODUCTION, Key="a mistake"))
    breaker.delete_object(Bucket=PRODUCTION, Key="a mistake")
    administrator.delete_object(Bucket=STAGING, Key="overwritten")  # as production alone is kept for ever
    assert administrator.get_object(Bucket=PRODUCTION, Key="kept")["Body"].read() == BODY


def test_the_role_for_erasing_deletes_versions_and_nothing_else(cloud: Cloud) -> None:
    administrator, eraser = cloud.client("administrator"), cloud.client(cloud.person("EraseRole", ERASER))
    for bucket in (LAKE, STAGING, PRODUCTION):
        for body in (b"one", b"other"):
            administrator.put_object(Bucket=bucket, Key="a person", Body=body)
        versions = eraser.list_object_versions(Bucket=bucket, Prefix="a person")["Versions"]
        assert len(versions) == 2
        for version in versions:
            eraser.delete_object(Bucket=bucket, Key="a person", VersionId=version["VersionId"])
        assert "Versions" not in administrator.list_object_versions(Bucket=bucket, Prefix="a person")
        others = [deed for deed in DEEDS if deed not in {"delete", "delete many", "delete a version"}]
        done = {deed for deed in others if not refused(lambda deed=deed, bucket=bucket: DEEDS[deed](eraser, bucket))}
        assert done == ({"list"} if bucket == LAKE else READ)


ROLES = (*JOB_ROLES, "ConsumerRole", "EraseRole")
NAMED = "repo:acme/data:environment:"


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"environment": "production"}, "PublishRole"),
        ({"environment": "gpu"}, "PullRequestRole"),
        ({"environment": "gpu", "ref": "refs/pull/7/merge"}, "PullRequestRole"),
        ({"environment": "judge"}, "JudgeRole"),
        ({"environment": "judge", "ref": "refs/pull/7/merge"}, None),
        ({"environment": "judge", "sub": f"{NAMED}judge"}, "JudgeRole"),
        ({"environment": "refresh"}, "ContributorRole"),
        ({"environment": "production", "sub": f"{NAMED}production"}, "PublishRole"),
        ({"environment": "gpu", "sub": f"{NAMED}gpu", "ref": "refs/pull/7/merge"}, "PullRequestRole"),
        ({"environment": "refresh", "sub": f"{NAMED}refresh"}, "ContributorRole"),
        ({"environment": "production", "ref": "refs/heads/topic"}, None),
        ({"environment": "production", "ref": "refs/heads/main2"}, None),
        ({"environment": "production", "ref": "refs/tags/main"}, None),
        ({"environment": "refresh", "ref": "refs/heads/topic"}, None),
        ({"environment": "production-2"}, None),
        ({"environment": "", "sub": "repo:acme@1001/data@2002:ref:refs/heads/main"}, None),
        ({"environment": "", "sub": "repo:acme@1001/data@2002:pull_request"}, None),
        ({"environment": "production", "sub": "repo:eve@3003/data@4004:environment:production"}, None),
        ({"environment": "production", "sub": "repo:acme@3003/data@4004:environment:production"}, None),
        ({"environment": "production", "sub": f"{NAMED}production", "repository_id": "4004"}, None),
        ({"environment": "production", "sub": "repo:acme/data2:environment:production"}, None),
        ({"environment": "production", "aud": "https://github.com/acme"}, None),
        ({"environment": "production", "iss": "https://token.example.com"}, None),
        ({"environment": "production", "exp": 1_700_000_000}, None),
    ],
)
def test_a_job_gets_its_role(cloud: Cloud, claims: dict, role: str | None) -> None:
    token = cloud.token(**claims)
    given = [name for name in ROLES if obtained(lambda name=name: cloud.job(name, token))]
    assert given == ([role] if role else [])


def obtained(ask: Callable[[], Credentials]) -> bool:
    """Whether credentials were given; a refusal is STS's own."""
    try:
        ask()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 403}:
            return False
        raise
    return True


def test_a_token_that_github_did_not_sign_is_refused(cloud: Cloud) -> None:
    forged = replace(cloud, issuer=Issuer()).token("production")
    assert not obtained(lambda: cloud.job("PublishRole", forged))


@pytest.mark.parametrize(
    ("identity", "roles"),
    [("administrator", []), ("ann", ["ContributorRole"]), ("carl", ["ConsumerRole"]), ("pia", ["EraseRole"])],
)
def test_people_get_their_roles(cloud: Cloud, identity: str, roles: list[str]) -> None:
    assert [name for name in ROLES if obtained(lambda name=name: cloud.person(name, identity))] == roles
