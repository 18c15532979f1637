"""How pages are rendered: Jinja2, with every text escaped and on one visible line, whatever a template forgets."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from registry.core.escaping import ordered, visible_line
from registry.core.wording import plural


def environment(package: str) -> Environment:
    """The templates of a package, and those of the report that they include.

    Autoescape is on for every template, and `finalize` makes each text one line of visible characters first.
    """
    loaders = [PackageLoader(name) for name in dict.fromkeys((package, "registry.report"))]
    made = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(plural=plural, verbatim=Verbatim)
    return made


class Verbatim(str):
    """Code, which is copied: it has an order of its own, and no mark."""

    __slots__ = ()


def _visible(value: object) -> object:
    """A text as one line of visible characters; markup that a macro has rendered, and numbers, as they are."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return visible_line(value) if isinstance(value, Verbatim) else ordered(visible_line(value))
