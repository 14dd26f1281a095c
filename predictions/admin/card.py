"""The card of a model as a page shows it: the Markdown of `predictions.model_card`, of which it uses headings, tables, bold and code."""

import re

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

_CELL = re.compile(r"(?<!\\)\|")  # a bar within a cell is written \|
_INLINE = ((re.compile(r"\*\*(.+?)\*\*"), r"<strong>\1</strong>"), (re.compile(r"`(.+?)`"), r"<code>\1</code>"))


def card_html(markdown: str) -> SafeString:
    """The card without its title, which the page has. Whatever the record holds is escaped."""
    blocks = [block for block in markdown.strip().split("\n\n") if not block.startswith("# ")]
    return format_html_join("", "{}", ((_block(block),) for block in blocks))


def _block(block: str) -> SafeString:
    if heading := re.match(r"(#{2,3}) (.+)", block):
        level = len(heading[1]) + 1  # below the card's own heading
        return format_html("<h{}>{}</h{}>", level, _inline(heading[2]), level)
    if block.startswith("|"):
        return _table(block.splitlines())
    return format_html("<p>{}</p>", _inline(block))


def _table(lines: list[str]) -> SafeString:
    head, _rule, *rows = [[cell.strip() for cell in _CELL.split(line)[1:-1]] for line in lines]
    body = format_html_join("", "<tr>{}</tr>", ((_cells(row),) for row in rows))
    titles = format_html_join("", "<th>{}</th>", ((_inline(cell),) for cell in head)) if any(head) else ""
    top = format_html("<thead><tr>{}</tr></thead>", titles) if titles else ""
    return format_html('<div class="lb-scroll"><table class="lb-table pred-table">{}<tbody>{}</tbody></table></div>', top, body)


def _cells(row: list[str]) -> SafeString:
    return format_html_join("", "<td>{}</td>", ((_inline(cell.replace("\\|", "|")),) for cell in row))


def _inline(text: str) -> SafeString:
    told = str(escape(text))
    for pattern, replacement in _INLINE:
        told = pattern.sub(replacement, told)
    return mark_safe(told)  # noqa: S308 (escaped above)
