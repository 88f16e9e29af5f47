"""Checkpoints that come with the package, one directory each."""
