"""Data sets of OpenML, from a loopback server that has a few: what is made of them, and every refusal."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib import request as web
from urllib.error import URLError
from urllib.request import Request

import pytest

from ttcore import InputError, openml
from ttcore.own_data import from_openml
from ttcore.table_store import TableStore

COLUMNS = {"id": "numeric", "x": "numeric", "n": "numeric", "color": "nominal", "note": "string", "class": "nominal"}
ROWS = [
    (n, repr(n / 7), "?" if n == 5 else n, "'light blue'" if n % 3 else "red", f"word{n % 2}", 1 + n % 2)
    for n in range(24)
]
ARFF = "\n".join(
    [
        "% a comment",
        "@RELATION tiny",
        *(f"@ATTRIBUTE {name} {'{1,2}' if name == 'class' else 'REAL'}" for name in COLUMNS),
        "@DATA",
        *(",".join(map(str, row)) for row in ROWS),
    ]
).encode()


class Server:
    """As much of OpenML as fetch_openml asks for. `asked` are the paths; `data` has what differs by number."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.data: dict[int, dict[str, Any]] = {
            1: {"name": "Tiny"},
            2: {"name": "twice"},
            3: {"name": "twice", "version": "2"},
            4: {"format": "Sparse_ARFF"},
            5: {"target": ""},
            6: {"md5_checksum": "0" * 32},
            7: {"rows": "1e9"},
            8: {"url": "https://www.openml.org/data/v1/download/nothing.arff"},
            9: {"content": ARFF.replace(b"@DATA", b"@DATA\n1,2,3,4,5,6,7,8\n1,2")},
            10: {"status": "deactivated"},
            11: {"content": b"@DATA\n"},
            12: {"description": "x" * 2**26},
        }
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                code, content = outer.answer(self.path)
                self.send_response(code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, bytes]:
        parts = path.strip("/").split("/")
        if parts[0] == "data":  # data/v1/download/<number>/tiny.arff
            return (200, self._content(int(parts[3]))) if parts[3].isdigit() else (404, b"")
        parts = parts[4:]  # after api/v1/json/data
        if parts[0] == "list":
            return self._found(dict(zip(parts[1::2], parts[2::2], strict=True)))
        number = int(parts[-1])
        if number == 500:
            return 500, b"it is broken"
        if number == 501:
            return 200, b"<html>Sign in to the network</html>"
        if number not in self.data:
            return 412, b'{"error": {"code": "111", "message": "Unknown dataset"}}'
        return 200, json.dumps(self._about(number, parts[0])).encode()

    def _found(self, asked: dict[str, str]) -> tuple[int, bytes]:
        found = [
            {"did": number, "name": data["name"], "version": data.get("version", "1"), "status": "active"}
            for number, data in self.data.items()
            if data.get("name", "").lower() == asked["data_name"]
            and asked.get("data_version", data.get("version", "1")) == data.get("version", "1")
        ]
        if not found:
            return 412, b'{"error": {"code": "372", "message": "No results"}}'
        return 200, json.dumps({"data": {"dataset": found}}).encode()

    def _content(self, number: int) -> bytes:
        return self.data[number].get("content", ARFF)

    def _about(self, number: int, what: str) -> dict[str, Any]:
        data = self.data[number]
        if what == "qualities":
            return {
                "data_qualities": {"quality": [{"name": "NumberOfInstances", "value": data.get("rows", len(ROWS))}]}
            }
        if what == "features":
            features = [
                {
                    "index": str(index),
                    "name": name,
                    "data_type": kind,
                    "is_target": str(name == data.get("target", "class")).lower(),
                    "is_ignore": "false",
                    "is_row_identifier": str(name == "id").lower(),
                    "number_of_missing_values": "0",
                }
                for index, (name, kind) in enumerate(COLUMNS.items())
            ]
            return {"data_features": {"feature": features}}
        usual = {
            "id": str(number),
            "name": "unnamed",
            "version": "1",
            "format": "ARFF",
            "status": "active",
            "description": "",
            "url": f"https://www.openml.org/data/v1/download/{number}/tiny.arff",
            "md5_checksum": hashlib.md5(self._content(number)).hexdigest(),
        }
        return {"data_set_description": usual | {name: data[name] for name in usual if name in data}}


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def server(shared, tmp_path, monkeypatch) -> Server:
    shared.asked.clear()
    use(monkeypatch, tmp_path, shared.address)
    return shared


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, address: str) -> None:
    monkeypatch.setenv("TTCORE_OPENML", address)
    monkeypatch.setenv("TTCORE_TABLES", str(folder / "store"))


def refusal(*arguments: Any) -> InputError:
    with pytest.raises(InputError) as refused:
        from_openml(*arguments)
    assert "\n" not in str(refused.value)
    return refused.value


# ---- what is made of them -------------------------------------------------------------------------------------------


def test_by_name_once(server):
    data = from_openml(" TINY ", drop_missing=True)
    assert (data.source, data.title, data.task) == ("table", "OpenML 1: Tiny", "classification")
    assert (data.samples, data.features, data.outputs) == (23, 4, 2)
    stored = TableStore().get(data.key)
    # The number of the row is nothing to learn from; numbers that OpenML calls classes are classes.
    assert stored.feature_names == ("x", "n", "color=red", "note=word1")
    assert (stored.targets, stored.target_names) == (("class",), ("1", "2"))
    assert stored.notes[0] == "1 row is left out for a missing or infinite value; 23 remain."
    rows = [row for row in ROWS if row[2] != "?"]
    x, y = stored.arrays()
    assert x[:, 0].tolist() == [float(row[1]) for row in rows]
    assert x[:, 1].tolist() == [row[0] for row in rows]
    assert x[:, 2].tolist() == [row[3] == "red" for row in rows]
    assert x[:, 3].tolist() == [row[0] % 2 for row in rows]
    assert y.argmax(1).tolist() == [row[0] % 2 for row in rows]

    # Held, it needs no network; by another of its names it is the same, of the same download.
    asked = len(server.asked)
    assert from_openml("tiny", drop_missing=True) == data
    assert len(server.asked) == asked
    assert from_openml("tiny : 1", drop_missing=True) == data
    assert sum("download" in path for path in server.asked) == 1
    assert not [folder for folder in TableStore().folder.iterdir() if folder.name.startswith("tmp-")]


def test_old_downloads_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(openml, "MAX_DOWNLOADS_BYTES", 25)
    for age in (30, 20, 10):
        (tmp_path / str(age)).mkdir()
        file = tmp_path / str(age) / "data.arff.gz"
        file.write_bytes(bytes(10))
        os.utime(file, (time.time() - age, time.time() - age))
    openml._make_room(tmp_path)
    assert sorted(file.parent.name for file in tmp_path.rglob("*.gz")) == ["10", "20"]


# ---- refusals -------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[tuple[Any, ...], str, str]] = {
    "unknown number": (
        ("99",),
        "OpenML has no data set 99, or has not processed it yet; look for",
        "openml",
    ),
    "unknown name": (("nobody's/#?",), 'no active data set named "nobody\'s/#?"; look for its name', "openml"),
    "unknown version": (("tiny version 7",), "no active data set named 'tiny' of version 7", "openml"),
    "several": (("twice",), "several data sets named 'twice'; give the number of one: 2 (version 1), 3", "openml"),
    "sparse": (("4",), "'OpenML 4: unnamed' is sparse", "openml"),
    "no target": (("5",), "names no target for 'OpenML 5: unnamed'; choose one or more of 'x', 'n'", "targets"),
    "unknown target": (("1", ["clas"]), "has no column 'clas' to learn; choose from 'x', 'n'", "targets"),
    "too large": (("7",), "has 1,000,000,000 rows of 6 columns, and at most 20,000 columns and 2 GiB", "openml"),
    "an error there": (("500",), "answered with an error (500 Internal Server Error); try again later", "openml"),
    "someone else": (("501",), "is not OpenML's; check the network", "openml"),
    "nothing": ((" ",), "by its name or number, such as iris or 61, and '' is not one", "openml"),
    "long": (("x" * 300,), "by its name or number", "openml"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_before_anything_is_downloaded(kind, server):
    arguments, words, field = REFUSED[kind]
    refused = refusal(*arguments)
    assert words in str(refused)
    assert refused.field == field
    assert not any("download" in path for path in server.asked)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (6, "arrived damaged, its checksum is not the one that OpenML names"),
        (8, "could not be downloaded (it answered 404 Not Found); try again later"),
        (9, "cannot be read as a table ("),
        (11, "cannot be read as a table (No columns to parse"),
    ],
)
def test_damaged_data(number, words, server, tmp_path, monkeypatch):
    # Here rather than in a child, which would load scikit-learn each time.
    monkeypatch.setattr(web, "_opener", openml._opener(server.address))
    with pytest.raises(InputError) as refused:
        openml._download(number, f"OpenML {number}", tmp_path, list(COLUMNS.values()))
    assert str(refused.value).startswith(f"'OpenML {number}' {words}")
    assert refused.value.field == "openml"


@pytest.mark.parametrize("url", ["https://169.254.169.254/latest", "http://notopenml.org/x", "https://openml.org.evil"])
def test_data_elsewhere(url):
    with pytest.raises(InputError, match="which is not its own; download them there"):
        openml._ToServer("https://www.openml.org").https_request(Request(url))


def test_openmls_hosts():
    for url in ("https://api.openml.org/data/v1/download/61/iris.arff", "https://openml1.win.tue.nl/datasets/61"):
        assert openml._ToServer("https://www.openml.org").https_request(Request(url)).full_url == url
    with pytest.raises(URLError, match="unknown url type: file"):
        openml._opener("https://www.openml.org").open("file:///etc/hostname")


# ---- no network -----------------------------------------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[int]:
    """One that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_without_a_network(tmp_path, monkeypatch):
    port = closed_port()
    use(monkeypatch, tmp_path, f"http://127.0.0.1:{port}")
    began = time.monotonic()
    refused = refusal("iris")
    assert time.monotonic() - began < 5
    assert refused.field == "openml"
    assert str(refused) == (
        f"OpenML cannot be reached at 127.0.0.1:{port} (Connection refused); check the network, or give the data as a "
        "file"
    )


def test_a_server_that_never_answers(tmp_path, monkeypatch, port):
    use(monkeypatch, tmp_path, f"http://127.0.0.1:{port}")
    monkeypatch.setattr(openml, "ANSWER_LIMIT", 0.2)
    assert "(no answer within 0.2 s); check the network" in str(refusal("iris"))
    monkeypatch.setattr(openml, "ANSWER_LIMIT", 20.0)
    monkeypatch.setattr(openml, "TIME_LIMIT", 0.5)
    assert "'iris' of OpenML took more than 0.5 s and was given up" in str(refusal("iris"))


def test_a_name_that_is_looked_up_for_ever(monkeypatch):
    def look_up(*_: object) -> None:
        time.sleep(0.5)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", look_up)
    began = time.monotonic()
    with pytest.raises(InputError, match=r"at www\.openml\.org \(no answer within 0\.1 s\)"):
        openml._check_connection("https://www.openml.org", 0.1)
    assert time.monotonic() - began < 0.4


def test_behind_a_proxy(monkeypatch, port):
    # It is the proxy that must be reached, and the name is for it to look up.
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{port}")
    openml._check_connection("https://www.openml.invalid", 1)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(InputError, match="Connection refused"):
        openml._check_connection("https://www.openml.invalid", 1)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    openml._check_connection(f"https://127.0.0.1:{port}", 1)


@pytest.mark.parametrize("address", ["openml.org", "file:///etc/passwd", "http://", "http://host:99999", "http://[::"])
def test_a_server_address_that_is_none(address, tmp_path, monkeypatch):
    use(monkeypatch, tmp_path, address)
    refused = refusal("iris")
    assert "TTCORE_OPENML must be an address such as https://www.openml.org" in str(refused)
    assert refused.field == "openml"


def test_memory_is_bounded(server, monkeypatch):
    # Too little for what the server says of it.
    monkeypatch.setattr(openml, "MEMORY_LIMIT", 2**26)
    refused = refusal("12")
    assert "the data set '12' of OpenML needs more than 0.0625 GiB of memory to read" in str(refused)
    assert refused.field == "openml"
