"""Reading manifests: every source, and one clear sentence for every mistake."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from understudy.delivery import errors, manifests

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def load(*paths: Path | str, stdin: bytes = b"") -> list[manifests.Manifest]:
    return manifests.load([str(path) for path in paths], read_stdin=lambda: stdin)


def complaints(*paths: Path | str, stdin: bytes = b"") -> list[str]:
    with pytest.raises(errors.ManifestError) as caught:
        load(*paths, stdin=stdin)
    return list(caught.value.complaints)


def test_a_file_holds_any_number_of_documents(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(f"# a comment\n---\n{GOOD}---\n\n---\n{GOOD.replace('a}', 'b}')}...\n")
    found = load(path)
    assert [(m.obj["metadata"]["name"], m.source.document) for m in found] == [("a", 1), ("b", 2)]


def test_a_directory_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.yaml").write_text(GOOD.replace("name: a", "name: b"))
    (tmp_path / "a.yml").write_text(GOOD)
    (tmp_path / "sub" / "c.json").write_text(
        '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}'
    )
    (tmp_path / "notes.txt").write_text("no manifest")
    (tmp_path / ".hidden.yaml").write_text("no: [manifest")
    assert [m.obj["metadata"]["name"] for m in load(tmp_path)] == ["a", "b", "c"]


def test_standard_input_is_a_source() -> None:
    found = load("-", stdin=GOOD.encode())
    assert str(found[0].source) == "standard input, document 1"


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_an_address_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "install.yaml").write_text(GOOD)
    with serving(tmp_path) as url:
        (found,) = load(f"{url}/install.yaml")
        assert str(found.source) == f"{url}/install.yaml, document 1"
        assert complaints(f"{url}/absent.yaml") == [
            f"{url}/absent.yaml: cannot be fetched: File not found"
        ]
    (told,) = complaints(f"{url}/install.yaml")
    assert told.startswith(f"{url}/install.yaml: cannot be fetched: [Errno")
    assert complaints("https://")[0].startswith("https://: cannot be fetched: ")


def test_a_list_is_opened() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- " + GOOD.replace("\n", "\n  ")
    found = load("-", stdin=text.encode())
    assert found[0].obj["kind"] == "ConfigMap"
    assert "items[0]" in str(found[0].source)


def test_items_of_a_typed_list_know_their_kind() -> None:
    text = "apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n"
    found = load("-", stdin=text.encode())
    assert (found[0].obj["apiVersion"], found[0].obj["kind"]) == ("v1", "ConfigMap")


def test_yaml_is_read_as_kubernetes_reads_it() -> None:
    text = GOOD + 'data: {ports: 8080:80, date: 2026-01-01, on: "yes"}\n'
    assert load("-", stdin=text.encode())[0].obj["data"] == {
        "ports": "8080:80",
        "date": "2026-01-01",
        "true": "yes",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: [", "document 1: is not YAML: line 1: did not find expected node content"),
        (f"{GOOD}---\na: [\n", "document 2: is not YAML: line 5"),
        ("kind: A\nmetadata: {name: a}", "document 1: apiVersion is missing"),
        ("apiVersion: v1\nmetadata: {name: a}", "document 1: kind is missing"),
        (f"{GOOD}---\nkind: A\n", "document 2 (line 5): apiVersion is missing"),
        ("apiVersion: v1\nkind: A", "metadata.name is missing"),
        ("apiVersion: v1\nkind: A\nmetadata: 3", "metadata must be a mapping, not a number"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: 3}", "metadata.name must be a string, not a"),
        (
            "apiVersion: v1\nkind: A\nmetadata: {generateName: x-}",
            "metadata.generateName cannot be delivered",
        ),
        (
            "apiVersion: v1\nkind: A\nmetadata: {name: a, labels: {b: 1}}",
            "metadata.labels['b'] must be a string, not a number: quote it",
        ),
        ("- a", "is no object but a list"),
        ("just words", "is no object but a string"),
        (GOOD + "data: {a: b, a: c}", 'line 4: key "a" already set in map'),
        ("apiVersion: v1\nkind: List\nitems: 3", "items must be a list, not a number"),
        ("", "standard input: holds no object"),
    ],
)
def test_a_mistake_names_document_and_field(text: str, complaint: str) -> None:
    assert complaint in complaints("-", stdin=text.encode())[0]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("kind: A\n")
    found = complaints(tmp_path / "nowhere", tmp_path / "one.yaml", tmp_path)
    assert any("no such file or directory" in text for text in found)
    assert any("apiVersion is missing" in text for text in found)


def test_an_empty_directory_is_a_mistake(tmp_path: Path) -> None:
    assert "no manifest (*.yaml, *.yml, *.json) in it" in complaints(tmp_path)[0]


def test_bytes_that_are_no_text_are_a_mistake() -> None:
    assert complaints("-", stdin=b"\xff\xfe\x00") == ["standard input: is not UTF-8 text (byte 0)"]


def test_json_that_does_not_parse_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{\n"a": }')
    assert "is not JSON: line 2" in complaints(path)[0]
