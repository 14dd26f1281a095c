"""How lists and pages write badges, money and durations."""

from datetime import timedelta
from decimal import Decimal

from django.utils.html import format_html
from django.utils.safestring import SafeString

from loyalty_site.common.money import exponent

DASH = "–"


def badge(text: object, tone: str = "", *, title: str = "", color: str = "") -> SafeString:
    """A small label. `tone` is good, bad, warn, info, primary or empty; `color` (hex) puts a dot of that colour in front."""
    dot = format_html('<span class="lb-dot" style="background:{}"></span>', color) if color else ""
    css = f"lb-badge lb-badge-{tone}" if tone else "lb-badge"
    return format_html('<span class="{}" title="{}">{}{}</span>', css, title, dot, text)


def amount(value: Decimal | int | None, unit: str = "", *, sign: bool = False) -> str:
    """`value` with grouping and the places of its currency, e.g. "1,234.50 EUR"; a dash for None."""
    if value is None:
        return DASH
    places = exponent(unit) if unit else 2
    number = f"{value:{'+' if sign and value else ''},.{places}f}"
    return f"{number} {unit}".strip()


def signed_amount(value: Decimal | None, unit: str = "") -> SafeString | str:
    """An amount in green above zero and red below it."""
    if value is None:
        return DASH
    tone = "lb-good" if value > 0 else "lb-bad" if value < 0 else ""
    return format_html('<span class="{}">{}</span>', tone, amount(value, unit, sign=True))


def duration(span: timedelta | None) -> str:
    """ "45 s", "3 min 20 s", "2 h 05 min"; a dash for None."""
    if span is None:
        return DASH
    seconds = span.total_seconds()
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def progress_bar(done: int, total: int, *, tone: str = "", label: str = "") -> SafeString:
    """A bar with its figure; an unknown total draws an empty bar."""
    percent = 100 * done // total if total else 0
    fill = f"lb-fill-{tone}" if tone else ""
    return format_html(
        '<span class="lb-progress"><span class="lb-bar"><span class="{}" style="width:{}%"></span></span><small>{}</small></span>',
        fill,
        percent,
        label or f"{percent} %",
    )
