"""The card of a model version: what it predicts, on what it was trained, how good it is, what it must not be used for.

Written from the record alone, so a card can be printed for a version whose file is gone. Markdown; no player appears in it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from predictions.metric_words import in_order, metric
from predictions.models import Kind, ModelVersion

# what is predicted, and what the answer must not be taken for
_PURPOSE: dict[str, tuple[str, str]] = {
    Kind.CHURN: (
        "The probability that a player places no real-money bet and makes no deposit within {horizon} days.",
        "It says who is likely to stay away, not why, and not that an offer would change it. Players who are excluded or whose account is "
        "closed are not churn and must not be contacted because of it.",
    ),
    Kind.LTV: (
        "The net gaming revenue of a player over the next 365 days (and 90), with an interval that holds the middle 80 % of outcomes.",
        "It is an expectation over many players; a single player's year can lie far outside. It must not be used to press players to play, "
        "and never to decide on protection.",
    ),
    Kind.FRAUD: (
        "How unusual a player's behaviour is, to be read together with the abuse detectors.",
        "Being unusual is no proof. A score starts a review by a person; it must not end in a penalty by itself.",
    ),
    Kind.SEGMENTATION: (
        "Which group of similar players somebody belongs to by recency, frequency and monetary value, and where such players go next.",
        "Groups describe the past; moving between them is observed, not caused by anything that is done.",
    ),
    Kind.ENGAGEMENT: (
        "The probability that a player is active within the next {horizon} days.",
        "It is for the timing of messages that a player agreed to get, and for nobody under exclusion.",
    ),
    Kind.PROFILE: (
        "The lifetime value of somebody who is not in the database, from a described profile of age, income, products and transactions.",
        "It learned from a simulated bank, not from this operator's players: an illustration, not a basis for a decision about a person.",
    ),
}
_MOST_FEATURES = 15


def text(version: ModelVersion) -> str:
    """The card in Markdown."""
    purpose, limits = _PURPOSE[version.kind]
    parts = [
        f"# {version}",
        purpose.format(horizon=version.horizon_days),
        _facts(version),
        "## What it must not be used for",
        limits,
        "## How good it is",
        _held_out(version),
        _metrics(version.metrics, version.baseline),
        *_reliability(version.curves),
        *_lift(version.curves),
        *_section("## What was tried", _candidates(version.candidates)),
        *_section("## What it looks at", _importance(version.importance)),
        *_section("## Checks", _verdicts(version.gate)),
        "## How to check the file",
        _file(version),
    ]
    return "\n\n".join(parts) + "\n"


def _facts(version: ModelVersion) -> str:
    source = "a simulated operator" if version.is_synthetic else "this operator's own history"
    by = version.trained_by.get_username() if version.trained_by is not None else "the schedule or the command line"
    rows = [
        ("Status", version.get_status_display()),
        ("Algorithm", version.algorithm),
        ("Trained on", f"{source}, up to {version.as_of:%Y-%m-%d %H:%M} UTC, labels included"),
        ("Rows learned from", f"{version.rows:,}" + (f", of which {version.positives:,} cases" if version.positives else "")),
        ("Looks ahead", f"{version.horizon_days} days"),
        ("Trained", f"{version.trained_at:%Y-%m-%d %H:%M} UTC by {by}, in {version.training_seconds:.1f} s, seed {version.seed}"),
    ]
    if version.promoted_at is not None:
        rows.append(("In use since", f"{version.promoted_at:%Y-%m-%d %H:%M} UTC"))
    if version.retired_at is not None:
        rows.append(("Retired", f"{version.retired_at:%Y-%m-%d %H:%M} UTC"))
    return _table(("", ""), rows)


def _held_out(version: ModelVersion) -> str:
    if version.kind == Kind.PROFILE:
        return "Measured on simulated customers that it did not learn from, beside the naive baseline on the same customers."
    return (
        "Measured on the last cut-off before the end of the history. Nothing was fitted, chosen or calibrated on it. "
        "The naive baseline was measured on the same players."
    )


def _metrics(metrics: Mapping[str, float], baseline: Mapping[str, float]) -> str:
    rows = [
        (metric(name).label, _number(metrics[name]), _number(baseline.get(name)), _better(name, metrics[name], baseline.get(name)))
        for name in in_order(metrics)
    ]
    return _table(("figure", "this version", "naive baseline", ""), rows)


def _better(name: str, value: float, limit: float | None) -> str:
    return {True: "better", False: "worse", None: ""}[metric(name).better(value, limit)]


def _reliability(curves: Mapping[str, Any]) -> list[str]:
    bands = curves.get("reliability") or []
    rows = [
        (f"{band['from']:.0%} to {band['to']:.0%}", f"{band['n']:,}", f"{band['predicted']:.1%}", f"{band['observed']:.1%}")
        for band in bands
        if band.get("n") and band.get("predicted") is not None and band.get("observed") is not None
    ]
    return _section("### Said and seen", _table(("band", "players", "predicted", "observed"), rows) if rows else "")


def _lift(curves: Mapping[str, Any]) -> list[str]:
    rows = [
        (str(one["decile"]), f"{one['n']:,}", f"{one['positives']:,}", _number(one["lift"]))
        for one in curves.get("lift") or []
        if {"decile", "n", "positives", "lift"} <= set(one) and one["lift"] is not None
    ]
    return _section(
        "### Lift", _table(("tenth of the players, highest first", "players", "cases", "times the average"), rows) if rows else ""
    )


def _candidates(candidates: Sequence[Mapping[str, Any]]) -> str:
    names = in_order(name for one in candidates for name in one.get("metrics", {}))
    rows = [
        (
            f"**{one['algorithm']}** (chosen)" if one.get("chosen") else one["algorithm"],
            *(_number(one.get("metrics", {}).get(name)) for name in names),
        )
        for one in candidates
    ]
    return _table(("algorithm", *(metric(name).label for name in names)), rows) if rows else ""


def _importance(importance: Mapping[str, float]) -> str:
    """The catalogue's words for each feature, and its share."""
    from predictions.ml.features import BY_NAME

    leading = sorted(importance.items(), key=lambda one: -one[1])[:_MOST_FEATURES]
    rows = [(BY_NAME[name].label if name in BY_NAME else _words(name), f"{share:.1%}") for name, share in leading]
    return _table(("feature", "share"), rows) if rows else ""


def _verdicts(verdicts: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            "passed" if one["passed"] else "**failed**",
            metric(one["name"]).label,
            _number(one["value"]),
            _number(one["limit"]),
            one["reason"],
        )
        for one in verdicts
    ]
    return _table(("", "check", "measured", "limit", "why"), rows) if rows else ""


def _file(version: ModelVersion) -> str:
    if not version.artifact:
        return "There is no file."
    if version.artifact_deleted_at is not None:
        return f"`{version.artifact}` was deleted on {version.artifact_deleted_at:%Y-%m-%d}; its SHA-256 was `{version.sha256}`."
    libraries = ", ".join(f"{name} {number}" for name, number in sorted(version.libraries.items()) if number)
    return (
        f"`{version.artifact}` in the model storage, {version.size_bytes:,} bytes, SHA-256 `{version.sha256}`, signed. "
        f"Made with {libraries}."
    )


def _section(title: str, body: str) -> list[str]:
    return [title, body] if body else []


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"
