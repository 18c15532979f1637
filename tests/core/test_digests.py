"""MD5 as DVC uses it."""

from registry.core import digests


def test_the_published_test_vectors() -> None:
    """RFC 1321, appendix A.5."""
    assert digests.md5(b"") == digests.EMPTY
    assert digests.md5(b"message digest") == "f96b697d7cb7938d525a2f31aaf161d0"


def test_a_name_is_proven_with_and_without_dir() -> None:
    name = digests.md5(b"[]")
    assert digests.matches(b"[]", name)
    assert digests.matches(b"[]", f"{name}.dir")
    assert not digests.matches(b"[ ]", name)
