"""The command line: one module for each command, which is a client like any other."""
