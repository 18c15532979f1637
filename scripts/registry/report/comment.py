"""How a report's comment on a pull request is identified, and how it is marked as stale."""

WATERMARK = "<!-- registry report -->"  # identifies the comment, however it was posted
_STALE = "> **Stale**: "


def mark_stale(text: str, why: str) -> str:
    """A rendered report with the reason why it is stale on top, in place of an earlier one."""
    fresh = text.partition("\n\n")[2] if text.startswith(_STALE) else text
    return f"{_STALE}{why}\n\n{fresh}"
