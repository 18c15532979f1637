"""Audits: objects are read where they are."""

from registry.storage.local import Folder
from registry.storage.verify import audit
from support.object_folders import damage, put_bodies


def test_audit_reads_objects_where_they_are(staging: Folder) -> None:
    names = put_bodies(staging, b"right", b"wrong")
    damage(staging, names[1], b"WRONG")
    found = audit(staging, [*names, "0" * 32])
    assert dict(found.select("md5", "state").rows()) == {names[0]: "present", names[1]: "corrupt", "0" * 32: "missing"}
