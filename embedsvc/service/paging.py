"""Page tokens, and digests of requests.

A token binds a cursor to the listing it belongs to, with a checksum against alteration. It is
no secret: a cursor only says where to go on.
"""

import base64
import hashlib
import json
import re

from google.protobuf.message import Message

from embedsvc.errors import PageTokenInvalid

MAX_TOKEN = 1_000
"""Characters of a token that are read; ours are shorter, and JSON nests too deep in long ones."""


def digest_of(request: Message, *without: str) -> str:
    """SHA-256 of a request as if the fields `without` were not set.

    A name without a field of the request is added to what is hashed.
    """
    bare = type(request)()
    bare.CopyFrom(request)
    digest = hashlib.sha256()
    for name in without:
        if name in bare.DESCRIPTOR.fields_by_name:
            bare.ClearField(name)
        else:
            digest.update(name.encode())
    digest.update(bare.SerializeToString(deterministic=True))
    return digest.hexdigest()


def token(cursor: str, listing: str) -> str:
    """The token of the page that follows `cursor`."""
    body = json.dumps([cursor, _check(cursor, listing)]).encode()
    return base64.urlsafe_b64encode(body).decode()


def cursor(token: str, listing: str) -> str:
    """Where the page of `token` begins; empty for the first page."""
    if not token:
        return ""
    try:
        found, check = json.loads(base64.urlsafe_b64decode(token[:MAX_TOKEN]))
    except (ValueError, TypeError):
        found, check = "", ""
    if not isinstance(found, str) or not found or check != _check(found, listing):
        raise invalid()
    return found


def place(token: str, listing: str) -> int:
    """As `cursor`, where that is a number; 0 for the first page."""
    found = cursor(token, listing) or "0"
    if not re.fullmatch("[0-9]{1,18}", found):
        raise invalid()
    return int(found)


def invalid() -> PageTokenInvalid:
    """The error for a token that is none of the listing's."""
    return PageTokenInvalid(
        "`page_token` must be of an earlier page of the same listing, but is not",
        field="page_token",
    )


def _check(cursor: str, listing: str) -> str:
    return hashlib.sha256(f"{listing}\0{cursor}".encode()).hexdigest()[:16]
