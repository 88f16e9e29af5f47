"""Versions of the tables: this one is written, and those before are brought up to it."""

from typing import Any

import apsw

from embedsvc.errors import FailedPrecondition

FORMAT = 3
"""Version of the tables; what is newer is refused."""

OLDEST = 1
"""The first version that is still read: of one space without a name. The second keeps no texts."""


def check_format(version: int, name: str) -> None:
    """Raise FailedPrecondition unless the collection `name` is of a version that is known."""
    if not OLDEST <= version <= FORMAT:
        raise FailedPrecondition(
            f"`collection` {name!r} must have format {OLDEST} to {FORMAT}, but has {version}: "
            "open it with the version that wrote it",
            field="collection",
            format=version,
        )


def stamp(connection: apsw.Connection, name: str) -> None:
    """Give new tables their format, and old ones this one; FailedPrecondition for unknown ones."""
    with connection:
        connection.execute(
            "INSERT OR IGNORE INTO meta (key, value) VALUES ('format', ?), ('sequence', 0)",
            (FORMAT,),
        )
        version: Any = connection.execute("SELECT value FROM meta WHERE key = 'format'").get
        check_format(version, name)
        if version == OLDEST:
            _from_1(connection)
        if version < FORMAT:
            connection.execute("UPDATE meta SET value = ? WHERE key = 'format'", (FORMAT,))
        _forget_words(connection)


def _from_1(connection: apsw.Connection) -> None:
    """The transform was of the collection, and is now of its only space. The vectors stay."""
    tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'transform'").get
    if tables is not None:
        connection.execute(
            "INSERT INTO fitted SELECT 0, version, data, crc, recipe, segments, created_at "
            "FROM transform ORDER BY version DESC LIMIT 1"
        )
        connection.execute("DROP TABLE transform")


def _forget_words(connection: apsw.Connection) -> None:
    """Have FTS5 take words of deleted lines out of the file at once, as SQLite does rows."""
    done = connection.execute("SELECT v FROM words_config WHERE k = 'secure-delete'").get
    if not done:
        connection.execute("INSERT INTO words (words, rank) VALUES ('secure-delete', 1)")
