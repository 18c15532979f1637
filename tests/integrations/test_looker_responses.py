"""Secrets are taken out of texts in whatever form a server repeats them."""

import html
import json
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from registry.integrations.looker_responses import Secrets

FORMS = (
    str,
    quote,
    quote_plus,
    lambda text: quote(text, safe=""),
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    lambda text: json.dumps(html.escape(text))[1:-1],
    html.escape,
    lambda text: html.escape(text, quote=False),
    lambda text: json.dumps(html.escape(text))[1:-1].replace("&", "\\u0026"),
    lambda text: "".join(f"&#x{ord(sign):X};" if not sign.isalnum() else sign for sign in text),
)


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=4), st.sampled_from(FORMS))
def test_no_form_of_a_secret_is_shown(secret: str, form: object) -> None:
    assert callable(form)
    secrets = Secrets()
    secrets.add(secret)
    assert secrets.redact(f"<{form(secret)}>") == "<***>"


def test_other_texts_stay() -> None:
    secrets = Secrets()
    secrets.add("", "a+b.c")
    assert secrets.redact("a b.c, aab.c, a+bxc, a+b") == "a b.c, aab.c, a+bxc, a+b"
