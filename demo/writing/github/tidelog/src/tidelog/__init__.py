"""tidelog reads tide tables, refuses the bad ones and writes down what it did.

There are four parts and you can read them in this order: parse, checks, store, cli.
"""

from .checks import Problem, check_all
from .parse import Harbour, Table, Tide, UnreadableTable, parse_file, parse_text

__version__ = "1.0.2"
__all__ = ["Harbour", "Problem", "Table", "Tide", "UnreadableTable",
           "check_all", "parse_file", "parse_text"]
