"""The command line: arguments, sub-commands, exit codes.

0 all went well; 1 it did not, and the message says what to do; 2 the arguments or the
configuration are wrong. What a command needs is imported when it runs, so that the daemon does
not carry the tables of ``collect`` or the simulated cloud of ``demo`` for years.
"""

from exporter.cli.entry import main

__all__ = ["main"]
