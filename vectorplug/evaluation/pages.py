"""What a reader sees of an HTML page."""

import re
from html.parser import HTMLParser

from vectorplug.errors import InputError

__all__ = ["visible_text"]

HIDDEN = frozenset({"noscript", "script", "style", "template"})
# Every other element begins a line of its own: "<p>one</p><p>two</p>" is two words, "<b>o</b>ne" is one.
INLINE = re.compile(
    "a|abbr|b|bdi|bdo|cite|code|data|dfn|em|font|i|ins|kbd|label|mark|q|s|samp|small|span|strong|sub|sup|time|tt|u|"
    "var|wbr"
)


def visible_text(html: str) -> tuple[str, str]:
    """The title and the text of a page, white space collapsed, one line a block; "" where there is none.

    Scripts, styles, templates and comments are left out. InputError for what Python's html.parser does not take.
    """
    page = _Page()
    try:
        page.feed(html)
        page.close()
    except AssertionError as error:  # so says html.parser, of declarations such as <![x[
        raise InputError(f"not HTML that can be read ({error}).") from error
    lines = (" ".join(line.split()) for line in "".join(page.text).split("\n"))
    return " ".join("".join(page.title).split()), "\n".join(line for line in lines if line)


class _Page(HTMLParser):
    """Collects the text and the title of a page while it is fed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.title: list[str] = []
        self._hidden = 0
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._hidden += tag in HIDDEN
        # An SVG drawing has titles, too.
        self._in_title = tag == "title" and not self.title
        self._begin_line(tag)

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in HIDDEN))
        self._in_title = False
        self._begin_line(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._begin_line(tag)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._hidden:
            self.text.append(re.sub(r"\s", " ", data))

    def _begin_line(self, tag: str) -> None:
        if not INLINE.fullmatch(tag):
            self.text.append("\n")
