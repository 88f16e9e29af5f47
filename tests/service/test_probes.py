"""Probes of a server: listed, moved, deleted, and what is refused."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import embedsvc.models
from embedsvc.probes import Shelf, to_files
from embedsvc.service import paging
from embedsvc.service.probes import _page
from embedsvc.testing import serving
from embedsvc.v1 import probe_pb2
from embedsvc.wire import tensors
from tests.probes import toys
from tests.service.calls import Refusal, Stubs, refused
from tests.service.probing import put

PETS = toys.probe()
FILES = to_files(PETS)


@pytest.fixture(scope="module")
def shelf(stubs: Stubs) -> Stubs:
    """A server whose probes are those of these tests."""
    return stubs


def import_(stubs: Stubs, tensors: bytes, card: bytes, name: str = "x") -> Refusal:
    files = probe_pb2.ProbeFiles(tensors=tensors, card=card)
    return refused(stubs.probes.ImportProbe, probe_pb2.ImportProbeRequest(name=name, files=files))


def get(stubs: Stubs, name: str) -> probe_pb2.Probe:
    return stubs.probes.GetProbe(probe_pb2.GetProbeRequest(name=name), timeout=30).probe


def test_a_probe_is_the_same_after_it_was_exported_and_imported(shelf: Stubs) -> None:
    put(shelf, "first", PETS)
    asked = probe_pb2.ExportProbeRequest(name="first")
    files = shelf.probes.ExportProbe(asked, timeout=30).files
    moved = probe_pb2.ImportProbeRequest(name="second", files=files)
    told = shelf.probes.ImportProbe(moved, timeout=30).probe
    first = get(shelf, "first")
    assert (told.name, told.version, told.digest) == ("second", 1, first.digest)
    assert told.labels == ["cat", "dog"]
    assert told.task == probe_pb2.PROBE_TASK_SINGLE_LABEL
    assert dict(told.figures) == dict(first.figures)
    assert get(shelf, "second") == told


def test_probes_are_listed_in_pages(shelf: Stubs) -> None:
    for name in ("list-a", "list-b", "list-c"):
        put(shelf, name, PETS)
    seen: list[str] = []
    request = probe_pb2.ListProbesRequest(page_size=2)
    while True:
        reply = shelf.probes.ListProbes(request, timeout=30)
        assert len(reply.probes) <= 2
        seen += [each.name for each in reply.probes]
        if not reply.next_page_token:
            break
        request.page_token = reply.next_page_token
    assert seen == sorted(seen)
    assert {"list-a", "list-b", "list-c"} <= set(seen)
    forged = probe_pb2.ListProbesRequest(page_token=reply.next_page_token + "x")
    assert refused(shelf.probes.ListProbes, forged).reason == "PAGE_TOKEN"


def test_a_version_is_addressed_and_deleted(shelf: Stubs) -> None:
    for _ in range(3):
        put(shelf, "many", PETS)
    assert get(shelf, "many").version == 3
    assert get(shelf, "many@1").version == 1
    shelf.probes.DeleteProbe(probe_pb2.DeleteProbeRequest(name="many@3"), timeout=30)
    assert get(shelf, "many").version == 2
    shelf.probes.DeleteProbe(probe_pb2.DeleteProbeRequest(name="many"), timeout=30)
    refusal = refused(shelf.probes.GetProbe, probe_pb2.GetProbeRequest(name="many"))
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "PROBE_NOT_FOUND")
    assert (refusal.resource, refusal.path) == ("probe", "name")
    gone = probe_pb2.DeleteProbeRequest(name="many")
    assert refused(shelf.probes.DeleteProbe, gone).code == "NOT_FOUND"
    gone.allow_missing = True
    shelf.probes.DeleteProbe(gone, timeout=30)


@pytest.mark.parametrize("name", ["", "../x", "A", "x@", "x@y", "a" * 65, "a\0b"])
def test_what_is_no_name_is_refused(shelf: Stubs, name: str) -> None:
    for method, kind in (
        (shelf.probes.GetProbe, probe_pb2.GetProbeRequest),
        (shelf.probes.DeleteProbe, probe_pb2.DeleteProbeRequest),
        (shelf.probes.ExportProbe, probe_pb2.ExportProbeRequest),
        (shelf.probes.ImportProbe, probe_pb2.ImportProbeRequest),
    ):
        refusal = refused(method, kind(name=name))
        assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "name")


def test_nobody_imports_under_a_version(shelf: Stubs) -> None:
    refusal = import_(shelf, FILES.tensors, FILES.card, "pets@3")
    assert (refusal.code, refusal.path) == ("INVALID_ARGUMENT", "name")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_garbage_is_never_anything_but_invalid(shelf: Stubs, data: st.DataObject) -> None:
    tensors, card = FILES.tensors, FILES.card
    which = data.draw(st.sampled_from(["tensors", "card", "both"]))
    if which in {"tensors", "both"}:
        tensors = damaged(tensors, data)
    if which in {"card", "both"}:
        card = damaged(card, data)
    files = probe_pb2.ProbeFiles(tensors=tensors, card=card)
    asked = probe_pb2.ImportProbeRequest(name="garbage", files=files)
    try:
        shelf.probes.ImportProbe(asked, timeout=30)
    except Exception:  # noqa: BLE001  # looked at below
        refusal = refused(shelf.probes.ImportProbe, asked)
        assert refusal.code == "INVALID_ARGUMENT"
        assert refusal.path in {"files.tensors", "files.card"}


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """Cut, changed in places, or something else."""
    how = data.draw(st.sampled_from(["cut", "changed", "other"]))
    if how == "cut":
        return content[: data.draw(st.integers(0, len(content) - 1))]
    if how == "other":
        return data.draw(st.binary(max_size=200))
    bytes_ = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        bytes_[data.draw(st.integers(0, min(len(bytes_) - 1, 2000)))] = data.draw(
            st.integers(0, 255)
        )
    return bytes(bytes_)


def test_a_damaged_probe_does_not_keep_the_server_from_the_others(tmp_path: Path) -> None:
    with serving({"data": str(tmp_path / "data")}) as target, Stubs(target) as stubs:
        put(stubs, "good", PETS)
        put(stubs, "bad", PETS)
    path = tmp_path / "data" / "probes" / "bad" / "1" / "probe.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with serving({"data": str(tmp_path / "data")}) as target, Stubs(target) as stubs:
        refusal = refused(stubs.probes.GetProbe, probe_pb2.GetProbeRequest(name="bad"))
        assert (refusal.code, refusal.path) == ("DATA_LOSS", "name")
        listed = stubs.probes.ListProbes(probe_pb2.ListProbesRequest(), timeout=30).probes
        assert [each.name for each in listed if not each.bundled] == ["good"]
        assert put(stubs, "bad", PETS).version == 2
        assert get(stubs, "bad").version == 2


def test_the_probes_of_a_model_are_served_with_it(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(Path(embedsvc.models.__path__[0]) / "mini", model)
    folder = model / "probes" / "bundled"
    folder.mkdir(parents=True)
    (folder / "probe.safetensors").write_bytes(FILES.tensors)
    (folder / "probe.json").write_bytes(FILES.card)
    with serving({"model": {"name": str(model)}}) as target, Stubs(target) as stubs:
        told = get(stubs, "bundled")
        assert (told.version, told.bundled) == (0, True)
        gone = probe_pb2.DeleteProbeRequest(name="bundled")
        refusal = refused(stubs.probes.DeleteProbe, gone)
        assert (refusal.code, refusal.path) == ("FAILED_PRECONDITION", "name")
        assert put(stubs, "bundled", PETS).version == 1
        assert not get(stubs, "bundled").bundled
        stubs.probes.DeleteProbe(gone, timeout=30)
        assert get(stubs, "bundled").bundled


def test_the_probe_of_a_space_nobody_makes_is_listed_and_asked_about_vectors(
    shelf: Stubs,
) -> None:
    put(shelf, "nowhere", PETS)
    assert get(shelf, "nowhere").spaces[0].fingerprint == "f00"
    asked = probe_pb2.ClassifyVectorsRequest(
        probe="nowhere",
        vectors=tensors.tensor_message(toys.drawn([toys.space()]).vectors),
        space_fingerprints=["f00"],
    )
    said = shelf.probes.ClassifyVectors(asked, timeout=30).classifications
    assert {each.labels[0] for each in said if each.labels} == {"cat", "dog"}


def test_a_page_ends_where_a_message_is_full(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, None, lambda *_: None)
    for name in "abcd":
        shelf.add(name, toys.probe())
    every = _page(shelf, "", 10, 1 << 20)
    assert ([each.name for each in every.probes], every.next_page_token) == (list("abcd"), "")
    room = int(2.5 * every.probes[0].ByteSize())
    first = _page(shelf, "", 10, room)
    assert [each.name for each in first.probes] == ["a", "b"]
    rest = _page(shelf, paging.cursor(first.next_page_token, "probes"), 10, room)
    assert ([each.name for each in rest.probes], rest.next_page_token) == (["c", "d"], "")
    assert [each.name for each in _page(shelf, "", 10, 1).probes] == ["a"]
    assert len(_page(shelf, "", 3, 1 << 20).probes) == 3
