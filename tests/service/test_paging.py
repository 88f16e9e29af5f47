"""Page tokens go on where a listing was, and are good for nothing else."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import PageTokenInvalid
from embedsvc.service import paging
from embedsvc.v1 import collection_pb2
from tests.service.calls import Stubs, adding, recording, refused, value

Filter = collection_pb2.Filter

pytestmark = pytest.mark.usefixtures("still_answers")


@given(cursor=st.text(min_size=1, max_size=64), listing=st.text())
def test_a_token_brings_its_cursor_back(cursor: str, listing: str) -> None:
    token = paging.token(cursor, listing)
    assert token.isascii()
    assert paging.cursor(token, listing) == cursor
    with pytest.raises(PageTokenInvalid):
        paging.cursor(token, listing + "!")


@given(token=st.text(min_size=1))
def test_no_other_text_is_a_token(token: str) -> None:
    with pytest.raises(PageTokenInvalid):
        paging.cursor(token, "listing")


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "٣", "9" * 19, "9" * 5_000])
def test_a_place_is_a_number_that_can_be_one(cursor: str) -> None:
    with pytest.raises(PageTokenInvalid):
        paging.place(paging.token(cursor, "listing"), "listing")


def forged(cursor: object) -> str:
    """A token as the server makes it, if it told its checksum."""
    return base64.urlsafe_b64encode(json.dumps([cursor, "0" * 16]).encode()).decode()


def test_page_tokens_are_of_their_own_listing(stubs: Stubs, collection: str) -> None:
    stubs.collections.AddRecordings(adding(collection, *map(recording, "abc")))
    listing = collection_pb2.ListRecordingsRequest(collection=collection, page_size=1)
    token = stubs.collections.ListRecordings(listing).next_page_token
    newer = Filter(range=Filter.Range(field="year", gt=value(1)))
    other = collection_pb2.ListRecordingsRequest(collection=collection, filter=newer)
    bads = [token[:-4] + "AAA=", token[4:], "garbage", "żółć", forged(1), forged([1]), "[" * 9_999]
    bads += [base64.urlsafe_b64encode(b"[" * 9_000).decode(), forged("9" * 30)]
    for asked, bad in [(other, token), *((listing, bad) for bad in bads)]:
        asked.page_token = bad
        refusal = refused(stubs.collections.ListRecordings, asked)
        assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN"), bad
        assert refusal.path == "page_token"
    collections = collection_pb2.ListCollectionsRequest(page_token=token)
    assert refused(stubs.collections.ListCollections, collections).reason == "PAGE_TOKEN"


def test_page_sizes_are_not_negative(stubs: Stubs, collection: str) -> None:
    listing = collection_pb2.ListRecordingsRequest(collection=collection, page_size=-1)
    assert refused(stubs.collections.ListRecordings, listing).path == "page_size"
    collections = collection_pb2.ListCollectionsRequest(page_size=-1)
    assert refused(stubs.collections.ListCollections, collections).path == "page_size"
