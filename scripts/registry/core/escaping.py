"""Escaping of text from manifests, file names and labels, so that it is no tag, link, mention or markup.

GitHub finds mentions, references and URLs in the rendered text, where a backslash no longer has an effect. They are
broken by a word joiner (U+2060), which has no width and no line break.

Words of Arabic, Hebrew and the like reorder the numbers and arrows after them: «A 0.8 → B 0.6» would be shown as
«B 0.6 → A 0.8». A left-to-right mark (U+200E) after them keeps the order of the sentence, outside of code.
"""

import re
from collections.abc import Iterable
from html import escape

from registry.console import plain

_RIGHT_TO_LEFT = "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
_LAST = re.compile(rf"({_RIGHT_TO_LEFT})(?!\s*{_RIGHT_TO_LEFT})")
LONGEST = 600  # characters of one text in a comment
JOINER = "\u2060"
MARK = "\u200e"
_MARKUP = re.compile(r"[\\`*{}\[\]<>|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LEADING = re.compile(r"^(?:[-+=]+(?=\s|$)|#+(?=\s|$)|\d+(?=[.)](?:\s|$)))")
_ACTIVE = re.compile(r"@|#(?=\w)|:(?=//)|:(?=[\w+-]+:)|www(?=\.)|\bgh-(?=\d)", re.IGNORECASE)
_COMMIT = re.compile(r"\b[0-9a-f]{7,64}\b", re.IGNORECASE)
_RUN = re.compile(r"`+")
_WEB_ADDRESS = re.compile(r"https://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/?=&%+-]*)?")


def one_line(text: str, longest: int | None = None) -> str:
    """A text on one line, with invisible characters escaped, and truncated to `longest` characters."""
    line = plain(" ".join(text.split()))
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1]}…"


def markdown(text: str, longest: int | None = LONGEST) -> str:
    """A text inside a Markdown line or table cell; one space at each end is kept."""
    line = one_line(text, longest)
    safe = _MARKUP.sub(lambda found: _entities(found[0]), _break(line))
    safe = _LEADING.sub(lambda found: f"{found[0]}{JOINER}" if found[0].isdigit() else _entities(found[0]), safe)
    return _spaced(text, safe)


def markdown_code(text: str) -> str:
    """A text as Markdown code; one with a `|` is written with entities, because `|` would end a table cell."""
    return f"{_code(text)}{MARK * bool(_LAST.search(text))}"


def _code(text: str) -> str:
    line = one_line(text, LONGEST) or "(empty)"
    if "|" in line:
        return f"<code>{markdown(line)}</code>"
    fence = "`" * (max(map(len, _RUN.findall(line)), default=0) + 1)
    pad = " " * (line[0] == "`" or line[-1] == "`")
    return f"{fence}{pad}{line}{pad}{fence}"


def markdown_lines(language: str, lines: Iterable[str]) -> str:
    """Lines of text as a code block; `language` is a constant of the caller."""
    shown = [one_line(line, LONGEST) for line in lines]
    fence = "`" * max(3, max((len(run) for line in shown for run in _RUN.findall(line)), default=0) + 1)
    return "\n".join([f"{fence}{language}", *shown, fence])


def markdown_html(text: str) -> str:
    """A text in an HTML element inside Markdown (`<summary>`)."""
    return markdown_attribute(text).replace("$", _entities("$"))


def markdown_attribute(text: str) -> str:
    """A text in an attribute of an HTML element inside Markdown."""
    return escape(_break(one_line(text, LONGEST)))


def ordered(text: str) -> str:
    """A text whose words of a script from right to left leave what follows them in its place."""
    return _LAST.sub(rf"\1{MARK}", text)


def visible_line(text: str) -> str:
    """A text on one line of visible characters, for a template to escape; a space at either end stays."""
    return _spaced(text, one_line(text))


def is_web_address(text: str) -> bool:
    """Whether a text may become a link: an https URL without a login, and without characters of markup."""
    return len(text) <= LONGEST and _WEB_ADDRESS.fullmatch(text) is not None


def markdown_link(url: str) -> str:
    """A URL as a link that shows it whole, so that a reader sees where it leads; any other text as text."""
    return f"[{markdown(url)}]({url})" if is_web_address(url) else markdown(url)


def _break(line: str) -> str:
    line = _COMMIT.sub(lambda found: JOINER.join(re.findall(".{1,6}", found[0])), line)
    return ordered(_ACTIVE.sub(lambda found: f"{found[0]}{JOINER}", line))


def _entities(chars: str) -> str:
    # `$` in an element of its own: GitHub finds formulas in the rendered text.
    return "".join("<span>$</span>" if char == "$" else f"&#{ord(char)};" for char in chars)


def _spaced(text: str, line: str) -> str:
    return f"{' ' * text[:1].isspace()}{line}{' ' * text[-1:].isspace()}" if line else " " * bool(text)
