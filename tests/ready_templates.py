"""Templates that were compiled once: most tests make an application of their own, and each would compile its pages anew."""

from __future__ import annotations

from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache


class ReadyTemplates(BytecodeCache):
    """In this process's memory; a template's text is part of what is looked for, as with Jinja's own caches."""

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Of a template with this name and place; Jinja compares the text."""
        if (found := self._compiled.get(bucket.key)) is not None:
            bucket.bytecode_from_string(found)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keeps what was compiled."""
        self._compiled[bucket.key] = bucket.bytecode_to_string()


def compile_once() -> None:
    """For every Flask application that is made from now on."""
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": ReadyTemplates()}
