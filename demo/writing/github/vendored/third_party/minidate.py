# minidate 0.3.1 -- tiny relative date parser
# Copyright (C) 2016 Bartholomew Quist <bquist@minidate.example>
# Licensed under the terms of the BSD 2-Clause License.
# Vendored third-party code. Do not edit; upstream changes only.

"""Parse a handful of relative date expressions ("today", "+3d", "last mon")."""

import datetime
import re

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
OFFSET_RE = re.compile(r"^([+-])(\d+)([dw])$")


class MiniDateError(Exception):
    """Raised when an expression cannot be parsed."""


def parse(expression, today=None):
    """Return a datetime.date for the given expression."""
    today = today or datetime.date.today()
    expression = expression.strip().lower()
    if expression == "today":
        return today
    if expression == "yesterday":
        return today - datetime.timedelta(days=1)
    if expression == "tomorrow":
        return today + datetime.timedelta(days=1)
    match = OFFSET_RE.match(expression)
    if match:
        sign, count, unit = match.groups()
        days = int(count) * (7 if unit == "w" else 1)
        return today + datetime.timedelta(days=days if sign == "+" else -days)
    direction, _, weekday = expression.partition(" ")
    if direction in ("last", "next") and weekday in WEEKDAYS:
        target = WEEKDAYS.index(weekday)
        if direction == "next":
            return today + datetime.timedelta(days=(target - today.weekday() - 1) % 7 + 1)
        return today - datetime.timedelta(days=(today.weekday() - target - 1) % 7 + 1)
    raise MiniDateError("Cannot parse expression: %r" % expression)
