"""The OpenAPI document of a service, as FastAPI makes it but for its bounds."""

from typing import Any

from fastapi import FastAPI

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class Documented(FastAPI):
    """FastAPI reads each bound as a float, so that of 2**63 it says 9.223372036854776e+18, which is more than that."""

    def openapi(self) -> dict[str, Any]:
        if not self.openapi_schema:
            _write_whole(super().openapi())
        return super().openapi()


def _write_whole(part: Any) -> None:
    """Whole bounds as integers, which JSON writes with all their digits."""
    if isinstance(part, dict):
        part |= {name: int(part[name]) for name in _BOUNDS if _is_whole(part.get(name))}
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _write_whole(one)


def _is_whole(bound: Any) -> bool:
    return isinstance(bound, float) and bound.is_integer()
