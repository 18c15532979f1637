"""Nothing that a manifest, a file name or a label says becomes markup, in Markdown as GitHub reads it or in HTML."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.core import escaping
from registry.core.values import Finding, Outcome, Verdict
from registry.report import html, markdown
from registry.report.blocks import Bullets, Code, Detail, Lines, Para, Picture, Section, Strong, Table
from registry.report.values import Report
from support import report_parts, report_situations

# What GitHub makes active in the text that Markdown has become.
ACTIVE = re.compile(
    r"(?:^|[^\w`])@[a-z0-9]|(?:^|\W)#\d|https?://|ftp://|www\.|\bgh-\d|\b[0-9a-f]{7,40}\b|:[\w+-]+:|\$|[^\s@]@[\w.-]+\.\w",
    re.IGNORECASE,
)
ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.example/x.png)",
    "[x](javascript:x)",
    "@octocat",
    "a@octocat",
    "octo@example.com",
    "#12",
    "acme/data#12",
    "GH-12",
    "https://evil.example",
    "www.evil.example",
    "`code` and ``more``",
    "`",
    "```",
    "|",
    "a\\|b",
    "\\",
    "a | b\n| --- |",
    "**b**",
    "__b__",
    "_b_",
    "~~s~~",
    "# head",
    "- item",
    "+ item",
    "1. item",
    "1) item",
    "> quote",
    "===",
    "---",
    "&lt;script&gt;",
    "&#64;octocat",
    "deadbeefcafe1234",
    "0123456789abcdef" * 3,
    ":skull:",
    "$x$",
    "$`x`$",
    "</details>",
    "</summary><h1>",
    "-->",
    "<!--",
    "\u202egnp.exe",
    "a\u200bb",
    "a\u2060b",
    "a\x00b",
    "a\nb\r\n\n# c",
    "[^1]",
    "[ ] x",
    "[x]: https://evil.example",
    "    indented",
    "</td></tr>",
    "\"' onload='x",
    "a  \nb",
    "{{x}}",
    "xmpp:a@b.c",
    "mailto:a@b.c",
)
PICTURES = {"p": markdown.Link("l.png", "d.png", 9)}


class Parsed(HTMLParser):
    """The tags with their attributes (an image's words aside), and the text, that in code aside."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.text: list[str] = []
        self.code = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.code += tag in ("code", "pre", "style")
        if tag != "span":
            self.tags.append((tag, *(f"{name}={value}" for name, value in attrs if name != "alt")))

    def handle_endtag(self, tag: str) -> None:
        self.code -= tag in ("code", "pre", "style")
        if tag != "span":
            self.tags.append((f"/{tag}",))

    def handle_data(self, data: str) -> None:
        if data == "$" and self.get_starttag_text() == "<span>":
            return  # a dollar in a tag of its own begins no formula
        self.text.append("" if self.code else data)


def report(text: str) -> Report:
    """A report that says `text` wherever data can stand."""
    line = (text, " ", Code(text), " ", Strong(text))
    table = Table((text, "n"), "lr", ((line, (text,)), ((Code(text),), (Code("x"), text))))
    picture = Picture("p", text, report_parts.picture("p", text))
    detail = Detail("words", text, (Para((text,)), picture))
    blocks = (Para(line), Bullets((line, line)), table, Lines("sh", (text,)), detail)
    finding = Finding(text, None, Verdict.WRONG, text, text, 3, text)
    section = Section(text, line, blocks)
    return replace(
        report_situations.removed_and_metadata(), headline=text, findings=(finding,), sections=(section,),
        not_run=(Outcome(text, None, not_run=text),), datasets=(), models=(),
    )  # fmt: skip


def as_github(text: str) -> Parsed:
    return Parsed(cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE))


def in_markdown(text: str) -> Parsed:
    return as_github(markdown.render(report(text), PICTURES))


BENIGN, BENIGN_PAGE = in_markdown("harmless"), Parsed(html.render(report("harmless")))
hostile = st.one_of(
    st.sampled_from(ATTACKS),
    st.lists(st.sampled_from([*ATTACKS, " ", "\n", "a", "1"]), min_size=1, max_size=4).map("".join),
    st.text(min_size=1, max_size=30),
    st.text(alphabet="`|\\*_[]()<>!#@:/$&;~-+=.1a \n", min_size=1, max_size=14),
).filter(str.strip)


def same(found: Parsed, benign: Parsed, text: str) -> bool:
    """Whether the tags are the same; of a finding's words those between backticks may be code."""
    code = ("code",), ("/code",)
    tags = [[tag for tag in one.tags if "`" not in text or tag not in code] for one in (found, benign)]
    return tags[0] == tags[1]


@pytest.mark.parametrize("text", ATTACKS)
def test_markdown_has_no_markup_of_an_attack(text: str) -> None:
    assert same(in_markdown(text), BENIGN, text)


@settings(max_examples=80)
@given(hostile)
def test_markdown_has_no_markup_of_any_text(text: str) -> None:
    found = in_markdown(text)
    assert same(found, BENIGN, text)
    active = [found[0] for part in found.text for found in [ACTIVE.search(part)] if found]
    assert active == []


@settings(max_examples=50)
@given(hostile)
def test_the_page_has_no_markup_of_any_text(text: str) -> None:
    assert same(Parsed(html.render(report(text))), BENIGN_PAGE, text)


@settings(max_examples=100)
@given(hostile)
def test_a_text_is_read_as_it_was_written(text: str) -> None:
    written = f"x {escaping.markdown(text.strip())} x"
    html = cmarkgfm.github_flavored_markdown_to_html(written, Options.CMARK_OPT_UNSAFE)
    read = unescape(re.sub("</?(p|span)>", "", html)).strip().removeprefix("x ").removesuffix(" x")
    assert read.replace(escaping.JOINER, "") == escaping.one_line(text, escaping.LONGEST)


def test_what_cannot_be_seen_is_written_out() -> None:
    assert escaping.one_line("a\u202eb\x00c\u2060d\u200be") == "a\\u202eb\\x00c\\u2060d\\u200be"
    assert escaping.one_line("a\r\n\tb\u00a0c") == "a b c"


def test_plain_words_and_numbers_stay_as_they_are() -> None:
    for text in (
        "per_class.dog.f1 is 0.929, expected at least 0.8",
        "datasets/pets 1.0.0 → 1.1.0",
        "−0.5 to +1.4 (95%)",
        "1.5 MB",
    ):
        assert escaping.markdown(text) == text


def test_a_long_text_is_clipped_in_a_comment_and_whole_on_the_page() -> None:
    assert len(escaping.markdown("x" * 9000)) == escaping.LONGEST
    assert len(escaping.visible_line("x" * 9000)) == 9000


@pytest.mark.parametrize(
    "url",
    ["https://acme.cloud.looker.com/x/AbCdEf", "https://looker.acme.example:9999/x/A_b-C?qid=1&t=2"],
)
def test_an_address_becomes_one_link_that_shows_where_it_leads(url: str) -> None:
    rendered = cmarkgfm.github_flavored_markdown_to_html(escaping.markdown_link(url))
    assert re.findall(r'href="([^"]*)"', rendered) == [url.replace("&", "&amp;")]
    assert unescape(re.sub(r"<[^>]*>", "", rendered)).replace(escaping.JOINER, "").strip() == url


@pytest.mark.parametrize(
    "url",
    [
        "http://acme.example/x", "javascript:alert(1)", "https://acme.example@evil.example/x",
        "https://evil.example/x)",
        "https://evil.example/](https://acme.example)", "https://evil.example/ x", "https://evil.example/\n",
        "//x.example", "https://evil.example/<b>", "https://evil.example/x" + "y" * 600, "https://evil.example/\u202egpj",
        "https://", "",
    ],
)  # fmt: skip
def test_any_other_address_is_text(url: str) -> None:
    assert "](" not in escaping.markdown_link(url).replace(escaping.markdown(url), "")
    rendered = cmarkgfm.github_flavored_markdown_to_html(escaping.markdown_link(url))
    assert "href" not in rendered
