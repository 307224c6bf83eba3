"""A request body read the way the Directory Insights API reads it. Knows no state and no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from sandbox.instants import instant_ms, instant_text, zone_offset

# JumpCloud's list, written down apart from the connector's own, so that a test compares the two.
SERVICES = (
    "access_certification",
    "access_management",
    "adbridge_user",
    "ai_admin",
    "aigw",
    "alerts",
    "asset_management",
    "di_events",
    "directory",
    "genai",
    "ldap",
    "mdm",
    "notifications",
    "object_storage",
    "pam",
    "password_manager",
    "password_vault",
    "radius",
    "reports",
    "saas_app_management",
    "software",
    "sso",
    "systems",
    "workflows",
)

DEFAULT_LIMIT = 1_000
MAXIMUM_LIMIT = 10_000
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_MONDAY_MS = 4 * 86_400_000  # 1 January 1970 was a Thursday
_NOT_IMITATED = ("q", "exact_match", "fields", "skip")


@dataclass(frozen=True, slots=True)
class Answers:
    """How the emulator answers where the true API's answer is not known, or varies."""

    end_time_inclusive: bool = False
    equal_start_and_end: Literal["served", "refused"] = "served"
    without_end_time: Literal["future too", "until now"] = "future too"
    empty_page_cursor: Literal["absent", "empty", "stale"] = "absent"
    empty_page_body: Literal["[]", "null"] = "[]"
    limit_above_maximum: Literal["refused", "clamped"] = "refused"
    cursor_values: Literal["typed", "strings"] = "typed"
    gzip: bool = False  # only ever when Accept-Encoding asks for it
    empty_buckets: Literal["listed", "left out"] = "listed"
    max_buckets: int = 65_536  # more are answered with status 500
    distinct: Literal["buckets", "values"] = "buckets"
    outside_all: tuple[str, ...] = ()  # services that `all` does not bring
    search_term: Literal["served", "ignored", "refused"] = "served"
    terms: Literal["any", "array", "object"] = "any"  # the forms that are not refused
    strict_paging: bool = True  # a cursor goes with the very query that produced it
    retention_days: int = 90


class RefusedError(Exception):
    """A request that the API answers with a status and a message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class NotImitatedError(Exception):
    """A request that the true API serves and this emulator does not."""


@dataclass(frozen=True, slots=True)
class Span:
    """Which events are meant: of which services (None for all), but for which types, and when.

    `start_ms` is inclusive, `end_ms` exclusive.
    """

    services: frozenset[str] | None
    start_ms: int
    end_ms: int | None
    excluded_types: frozenset[str] = frozenset()

    @property
    def is_everything(self) -> bool:
        """Tell whether no event of the time is left out."""
        return self.services is None and not self.excluded_types


@dataclass(frozen=True, slots=True)
class Paging:
    """How a page is cut."""

    limit: int
    sort: Literal["ASC", "DESC"]
    after: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class Buckets:
    """How counts are grouped: from `offset_ms` after the epoch, each `width_ms` wide."""

    width_ms: int
    offset_ms: int
    zone: timedelta


def read_span(body: Mapping[str, Any], answers: Answers, now_ms: int) -> Span:
    """Read service, start_time and end_time; raises RefusedError or NotImitatedError."""
    for key in _NOT_IMITATED:
        if body.get(key):
            raise NotImitatedError(f"the emulator does not imitate {key!r}")
    services = _services(body.get("service"), answers)
    start_ms = _instant(body, "start_time")
    if start_ms is None:
        raise RefusedError(400, "start_time is required")
    end_ms = _instant(body, "end_time")
    _check_order(start_ms, now_ms if end_ms is None else end_ms, now_ms, answers)
    if end_ms is None and answers.without_end_time == "until now":
        end_ms = now_ms + 1
    elif end_ms is not None and answers.end_time_inclusive:
        end_ms += 1
    oldest_ms = now_ms - answers.retention_days * 86_400_000
    excluded_types = _excluded_types(body.get("search_term"), answers)
    return Span(services, max(start_ms, oldest_ms), end_ms, excluded_types)


def read_paging(body: Mapping[str, Any], answers: Answers) -> Paging:
    """Read limit, sort and search_after; raises RefusedError."""
    limit = body.get("limit")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        limit = DEFAULT_LIMIT
    if limit > MAXIMUM_LIMIT:
        if answers.limit_above_maximum == "refused":
            raise RefusedError(400, f"limit must be at most {MAXIMUM_LIMIT}")
        limit = MAXIMUM_LIMIT
    sort: Literal["ASC", "DESC"] = "DESC" if body.get("sort") == "DESC" else "ASC"
    return Paging(limit, sort, _cursor(body.get("search_after")))


def read_buckets(body: Mapping[str, Any], start_ms: int) -> Buckets:
    """Read interval_unit, interval_value and timezone; raises RefusedError."""
    unit = body.get("interval_unit")
    if unit not in _UNIT_MS:
        raise RefusedError(400, "interval_unit must be one of s, m, h, d, w")
    value = body.get("interval_value") or "1"
    if not isinstance(value, str) or not value.isdigit() or int(value) < 1:
        raise RefusedError(400, "interval_value must be a positive number in a string")
    try:
        zone = zone_offset(str(body.get("timezone") or "UTC"), start_ms)
    except (ValueError, KeyError):
        raise RefusedError(400, "timezone is not known") from None
    aligned_ms = _MONDAY_MS if unit == "w" else 0
    return Buckets(
        _UNIT_MS[unit] * int(value), aligned_ms - zone // timedelta(milliseconds=1), zone
    )


def _services(value: Any, answers: Answers) -> frozenset[str] | None:
    if not isinstance(value, list) or not value:
        raise RefusedError(400, "service is required and must be an array")
    unknown = [name for name in value if name not in SERVICES and name != "all"]
    if unknown:
        valid = ", ".join(("all", *SERVICES))
        raise RefusedError(400, f"Invalid service {unknown[0]!r}; valid services are: {valid}")
    if "all" not in value:
        return frozenset(value)
    return frozenset(SERVICES).difference(answers.outside_all) if answers.outside_all else None


def _excluded_types(term: Any, answers: Answers) -> frozenset[str]:
    """Read `{"not": {"event_type": [...]}}`, or the same in an array."""
    if not term:
        return frozenset()
    if answers.search_term == "refused":
        raise RefusedError(400, "Invalid search_term")
    conditions = term.get("not") if isinstance(term, dict) and len(term) == 1 else None
    form = "array" if isinstance(conditions, list) else "object"
    if answers.terms not in ("any", form):
        raise RefusedError(400, "Invalid search_term")
    types: set[str] = set()
    for condition in conditions if isinstance(conditions, list) else [conditions]:
        if not isinstance(condition, dict) or condition.keys() != {"event_type"}:
            raise NotImitatedError("the emulator imitates no search_term but to leave types out")
        value = condition["event_type"]
        types.update(value if isinstance(value, list) else [value])
    return frozenset() if answers.search_term == "ignored" else frozenset(types)


def _instant(body: Mapping[str, Any], key: str) -> int | None:
    value = body.get(key)
    if value is None or (value == "" and key == "end_time"):
        return None
    if not isinstance(value, str):
        raise RefusedError(400, f"{key} must be a string")
    try:
        return instant_ms(value)
    except ValueError:
        raise RefusedError(400, f"{key} is not in RFC3339 format") from None


def _check_order(start_ms: int, end_ms: int, now_ms: int, answers: Answers) -> None:
    """Refuse a start after the end, and a start in the future whatever the end."""
    end_ms = min(end_ms, now_ms) if start_ms > now_ms else end_ms
    refuses_equal = answers.equal_start_and_end == "refused"
    if start_ms > end_ms or (refuses_equal and start_ms == end_ms):
        first, second = instant_text(start_ms), instant_text(end_ms)
        raise RefusedError(400, f"Start Time not after End Time {first} > {second}")


def _cursor(value: Any) -> tuple[int, str] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise RefusedError(400, "search_after must hold two values")
    try:
        return int(value[0]), str(value[1])
    except (TypeError, ValueError):
        raise RefusedError(400, "search_after must start with epoch milliseconds") from None
