"""A dossier as Markdown for a person, and as JSON for programs."""

from collections.abc import Iterator, Sequence

from registry.core.documents import write_json
from registry.core.escaping import markdown, markdown_code
from registry.core.values import Tag
from registry.release.dossier import Item, Section

NOTICE = (
    "What is recorded of this release, for the technical documentation of Annex IV of Regulation (EU) "
    "2024/1689 and the public summary of training content. It does not say that anything complies with a law: a person "
    "decides what applies, writes what is marked, and answers for it."
)
GAP = "to be written by a person"


def to_markdown(tag: Tag, sections: Sequence[Section]) -> str:
    """The dossier in Markdown; each gap is a task with a box."""
    gaps = sum(len(item.gaps) for section in sections for item in section.items)
    lines = [f"# Dossier of {tag}", "", NOTICE, "", f"{gaps} gaps are marked «{GAP}»."]
    for section in sections:
        lines += ["", f"## {section.title}"]
        for item in section.items:
            lines += ["", f"### {item.number} {item.title}", "", *_item(item)]
    return "\n".join(lines) + "\n"


def _item(item: Item) -> Iterator[str]:
    for fact in item.facts:
        yield f"- **{markdown(fact.name)}**: {markdown_code(fact.value) if fact.is_code else _text(fact.value)}"
    for gap in item.gaps:
        yield f"- [ ] {GAP}: {gap}"


def _text(value: str) -> str:
    """A value on lines of its own, below its name, where it has more than one paragraph."""
    paragraphs = [" ".join(part.split()) for part in value.split("\n\n") if part.strip()]
    return "\n\n  ".join(markdown(part, None) for part in paragraphs)


def to_json(tag: Tag, sections: Sequence[Section]) -> str:
    """The dossier as `{"tag", "notice", "sections": [{"title", "items": [{"number", "title", "facts", "gaps"}]}]}`."""
    found = {
        "tag": str(tag),
        "notice": NOTICE,
        "sections": [{"title": one.title, "items": [_to_json(item) for item in one.items]} for one in sections],
    }
    return write_json(found).decode()


def _to_json(item: Item) -> dict[str, object]:
    facts = [{"name": fact.name, "value": fact.value} for fact in item.facts]
    return {"number": item.number, "title": item.title, "facts": facts, "gaps": list(item.gaps)}
