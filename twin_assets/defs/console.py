"""How a run reads in a terminal: the asset and its message, nothing else."""

import logging
import sys

import dagster as dg


class _Compact(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        message = meta.get("orig_message") or record.getMessage()
        return f"    {meta.get('step_key') or 'run'}: {message}"


@dg.logger(
    config_schema={"log_level": dg.Field(str, default_value="INFO", is_required=False)},
    description="Short lines for a terminal; the Dagster UI keeps the whole event log.",
)
def compact_console(init_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("twin", level=init_context.logger_config["log_level"])
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Compact())
    logger.addHandler(handler)
    return logger
