"""Data sets of OpenML, through scikit-learn, in a child process of bounded memory and time.

The child is `python -m ttcore.openml`, one request as JSON on its stdin and one reply on its stdout, as that of
ttcore.intake. TTCORE_OPENML may name another server with OpenML's interface, a mirror or a test's; every request then
goes there. This module loads neither scikit-learn, pandas nor pyarrow; the child does, once OpenML has answered.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib import request as web
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit

from ttcore.bounded_child import ask
from ttcore.checks import shown
from ttcore.errors import InputError
from ttcore.intake import MEMORY_LIMIT, Description, describe, described, resource

if TYPE_CHECKING:
    from ttcore.tables import Column, Table

SERVER_VARIABLE = "TTCORE_OPENML"
# Seconds: for all of it, to be connected, and for each answer to begin or go on.
TIME_LIMIT = 120.0
CONNECT_LIMIT = 4.0
ANSWER_LIMIT = 20.0
# What is kept of downloads.
MAX_DOWNLOADS_BYTES = 2 * 2**30

_OPENML = "https://www.openml.org"
# OpenML's own, and of the university that keeps its data.
_HOSTS = ("openml.org", "win.tue.nl")
_VERSIONED = re.compile(r"(.+?)(?:\s*:\s*|\s+version\s+)([0-9]{1,9})", re.DOTALL)
_LISTED = 5


@dataclass(frozen=True)
class Fetched:
    """What fetch left in its folder, and which data set that is."""

    number: int
    version: str
    title: str
    targets: tuple[str, ...]
    description: Description


def server_address() -> str:
    """OpenML's address, or that in TTCORE_OPENML; raises InputError (field "openml") for one that is none."""
    address = os.environ.get(SERVER_VARIABLE) or _OPENML
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InputError(
            f"{SERVER_VARIABLE} must be an address such as {_OPENML}, and {shown(address)} is not", "openml"
        )
    return address.rstrip("/")


def fetch(
    name: str, targets: Sequence[str], task: str, drop_missing: bool, server: str, data_home: Path, folder: Path
) -> Fetched:
    """Prepare a data set of OpenML; x.npy and y.npy (both float64) go into `folder`, downloads into `data_home`.

    name: its number, its name, or name:version. Without targets OpenML's own are taken. Raises InputError as prepare
    does, and with the field "openml" for what cannot be had.
    """
    asked = {
        "name": name,
        "targets": list(targets),
        "task": task,
        "drop_missing": drop_missing,
        "server": server,
        "data_home": str(data_home.resolve()),
        "folder": str(folder.resolve()),
    }
    reply = _ask(name, {**asked, "memory": MEMORY_LIMIT, "connect": CONNECT_LIMIT, "answer": ANSWER_LIMIT})
    return Fetched(
        reply["number"], reply["version"], reply["title"], tuple(reply["targets"]), described(reply["description"])
    )


def _ask(name: str, request: dict[str, Any]) -> dict[str, Any]:
    """The child's reply."""
    return ask(
        "ttcore.openml",
        request,
        TIME_LIMIT,
        too_long=_refusal(
            f"the data set {shown(name)} of OpenML took more than {TIME_LIMIT:g} s and was given up; try again later, "
            "or give the data as a file"
        ),
        too_large=_too_large(name, request["memory"]),
    )


def _refusal(message: str) -> InputError:
    return InputError(message, "openml")


def _too_large(name: str, limit: int) -> InputError:
    return _refusal(
        f"the data set {shown(name)} of OpenML needs more than {limit / 2**30:.3g} GiB of memory to read; give a part "
        "of it as a file"
    )


# In the child


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if resource is not None:
        # Before the libraries are loaded, so that what they take counts. A file is a download, or a table.
        _limit(resource.RLIMIT_DATA, request["memory"])
        _limit(resource.RLIMIT_FSIZE, MAX_DOWNLOADS_BYTES + 2**20)
    try:
        return _fetch(request)
    except InputError as error:
        # What prepare says of a file is meant for this data set.
        return {"error": str(error), "field": "openml" if error.field == "file" else error.field}
    except MemoryError:
        return {"error": str(_too_large(request["name"], request["memory"])), "field": "openml"}
    except Exception:
        traceback.print_exc()
        return {
            "error": f"the data set {shown(request['name'])} of OpenML could not be read for a reason that this "
            "program does not know; download it and give it as a file",
            "field": "openml",
        }


def _limit(what: int, size: int) -> None:
    # An administrator may have set less.
    _, most = resource.getrlimit(what)
    resource.setrlimit(what, (size if most == resource.RLIM_INFINITY else min(size, most), most))


def _fetch(request: dict[str, Any]) -> dict[str, Any]:
    server = request["server"]
    _check_connection(server, request["connect"])
    socket.setdefaulttimeout(request["answer"])
    web.install_opener(_opener(server))

    number = _number(server, request["name"])
    unknown = f"OpenML has no data set {number}, or has not processed it yet; look for its number on openml.org"
    about = _json(server, str(number), unknown)["data_set_description"]
    title = f"OpenML {number}: {' '.join(str(about['name']).split())}"
    if "sparse" in about["format"].lower():
        raise _refusal(f"{shown(title)} is sparse, and only dense tables are handled; choose another data set")
    features = _json(server, f"features/{number}", unknown)["data_features"]["feature"]
    qualities = _json(server, f"qualities/{number}", unknown).get("data_qualities", {}).get("quality", [])
    columns = [each for each in features if "true" not in (each["is_ignore"], each["is_row_identifier"])]
    _check_size(title, len(features), qualities)
    targets = _targets(title, columns, request["targets"])

    import numpy as np

    from ttcore.preparing import prepare

    home = Path(request["data_home"])
    table = _download(number, title, home, [each["data_type"] for each in features])
    prepared = prepare(table, targets, request["task"], request["drop_missing"])
    if about["status"] != "active":
        note = f"OpenML marks this data set as {about['status']}."
        prepared = replace(prepared, notes=(note, *prepared.notes))
    folder = Path(request["folder"])
    np.save(folder / "x.npy", prepared.x, allow_pickle=False)
    np.save(folder / "y.npy", prepared.y, allow_pickle=False)
    _make_room(home)
    return asdict(Fetched(number, str(about["version"]), title, tuple(targets), describe(prepared)))


def _check_connection(server: str, limit: float) -> None:
    """Raises InputError unless the server, or the proxy before it, takes a connection in time."""
    outcome: list[Exception | None] = []

    def connect() -> None:
        parts = urlsplit(server)
        proxy = web.getproxies().get(parts.scheme)
        if proxy and not web.proxy_bypass(parts.netloc):
            parts = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname or "", port), limit).close()
            outcome.append(None)
        except (OSError, ValueError) as error:
            outcome.append(error)

    # A thread, since nothing bounds the time in which a name is looked up.
    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(limit)
    error = outcome[0] if outcome else TimeoutError()
    if error is not None:
        raise _unreachable(server, error, limit)


def _unreachable(server: str, error: Exception, limit: float) -> InputError:
    return _refusal(
        f"OpenML cannot be reached at {urlsplit(server).netloc} ({_reason(error, limit)}); check the network, or give "
        "the data as a file"
    )


def _reason(error: Exception, limit: float) -> str:
    cause = getattr(error, "reason", error)
    if isinstance(error, HTTPError):
        return f"it answered {error.code} {cause}".strip()
    if isinstance(cause, TimeoutError) and not cause.strerror:
        return f"no answer within {limit:g} s"
    return getattr(cause, "strerror", None) or " ".join(str(cause).split())[:120] or type(cause).__name__


class _ToServer(web.BaseHandler):
    """Sends every request to the server; OpenML's own answers may name its other hosts, and no others."""

    handler_order = 100  # before the headers are made

    def __init__(self, server: str) -> None:
        self.server = server

    def http_request(self, request: web.Request) -> web.Request:
        parts = urlsplit(request.full_url)
        if self.server != _OPENML:
            if not request.full_url.startswith(f"{self.server}/"):
                request.full_url = f"{self.server}{parts.path}{'?' if parts.query else ''}{parts.query}"
        elif not any(f".{parts.hostname}".endswith(f".{host}") for host in _HOSTS):
            raise _refusal(
                f"OpenML says that these data are at {shown(parts.hostname)}, which is not its own; download them "
                "there and give them as a file"
            )
        return request

    https_request = http_request


def _opener(server: str) -> web.OpenerDirector:
    """HTTP alone: urllib would open files and FTP addresses as well."""
    opener = web.OpenerDirector()
    for handler in (
        web.ProxyHandler(),
        web.UnknownHandler(),
        web.HTTPHandler(),
        web.HTTPSHandler(),
        web.HTTPDefaultErrorHandler(),
        web.HTTPRedirectHandler(),
        web.HTTPErrorProcessor(),
        _ToServer(server),
    ):
        opener.add_handler(handler)
    return opener


def _json(server: str, path: str, unknown: str) -> dict[str, Any]:
    """What the server says of data; raises InputError, with the sentence `unknown` where it has none."""
    try:
        with web.urlopen(f"{server}/api/v1/json/data/{path}") as response:
            return json.load(response)
    except HTTPError as error:
        if error.code in (404, 412):
            raise _refusal(unknown) from None
        raise _refusal(
            f"OpenML answered with an error ({error.code} {error.reason}); try again later, or give the data as a file"
        ) from None
    except (OSError, HTTPException) as error:
        raise _unreachable(server, error, socket.getdefaulttimeout() or 0) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise _refusal(
            f"what {urlsplit(server).netloc} answers is not OpenML's; check the network, or give the data as a file"
        ) from None


def _number(server: str, name: str) -> int:
    """The number of the data set that a person names."""
    if re.fullmatch("[0-9]{1,9}", name):
        return int(name)
    versioned = _VERSIONED.fullmatch(name)
    title, version = versioned.groups() if versioned else (name, "")
    path = f"list/data_name/{quote(title.lower(), safe='')}/limit/50/status/active"
    found = _json(
        server,
        f"{path}/data_version/{version}" if version else path,
        f"OpenML has no active data set named {shown(title)}{f' of version {version}' if version else ''}; look for "
        "its name or number on openml.org",
    )["data"]["dataset"]
    if len(found) > 1:
        some = ", ".join(f"{each['did']} (version {each['version']})" for each in found[:_LISTED])
        raise _refusal(
            f"OpenML has several data sets named {shown(title)}; give the number of one: {some}"
            f"{', ...' if len(found) > _LISTED else ''}"
        )
    return int(found[0]["did"])


def _check_size(title: str, columns: int, qualities: Sequence[dict[str, Any]]) -> None:
    """Refuse what would not fit, where OpenML says how large it is."""
    from ttcore.tables import MAX_COLUMNS, MAX_TABLE_BYTES

    said = {each["name"]: each["value"] for each in qualities}.get("NumberOfInstances")
    rows = 1
    with suppress(TypeError, ValueError, OverflowError):
        rows = max(1, int(float(said)))  # type: ignore[arg-type]
    if columns > MAX_COLUMNS or rows * columns * 8 > MAX_TABLE_BYTES:
        raise _refusal(
            f"{shown(title)} has {rows:,} rows of {columns:,} columns, and at most {MAX_COLUMNS:,} columns and "
            f"{MAX_TABLE_BYTES / 2**30:g} GiB are handled; give a part of it as a file"
        )


def _targets(title: str, columns: Sequence[dict[str, Any]], asked: Sequence[str]) -> list[str]:
    """Those asked for, or OpenML's own."""
    names = [each["name"] for each in columns]
    some = ", ".join(shown(name) for name in names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    wrong = next((name for name in asked if name not in names), None)
    if wrong is not None:
        raise InputError(f"{shown(title)} has no column {shown(wrong)} to learn; choose from {some}", "targets")
    targets = list(asked) or [each["name"] for each in columns if each["is_target"] == "true"]
    if not targets:
        raise InputError(f"OpenML names no target for {shown(title)}; choose one or more of {some}", "targets")
    return targets


def _download(number: int, title: str, home: Path, kinds: Sequence[str]) -> Table:
    """The columns that can be learnt from; `kinds` are OpenML's for all in the file."""
    import warnings

    from sklearn.datasets import fetch_openml

    # They are about retries and the status.
    warnings.simplefilter("ignore")
    # By itself it reads categories that look like numbers as numbers, and fails on them.
    text = {index: str for index, kind in enumerate(kinds) if kind.lower() in ("nominal", "string", "date")}
    try:
        # Without a target column it leaves the targets among the others, with missing values and of any type. It
        # insists on one retry.
        bunch = fetch_openml(
            data_id=number, data_home=home, target_column=None, as_frame=True, n_retries=1, delay=0.1, parser="pandas",
            read_csv_kwargs={"dtype": text},
        )  # fmt: skip
    except (InputError, MemoryError):
        raise
    except (OSError, HTTPException, EOFError) as error:
        raise _refusal(
            f"{shown(title)} could not be downloaded ({_reason(error, socket.getdefaulttimeout() or 0)}); try again "
            "later, or give the data as a file"
        ) from None
    except ValueError as error:
        if "checksum" in str(error):
            raise _refusal(
                f"{shown(title)} arrived damaged, its checksum is not the one that OpenML names; try again later, or "
                "give the data as a file"
            ) from None
        raise _refusal(
            f"{shown(title)} cannot be read as a table ({' '.join(str(error).split())[:120]}); download it and give "
            "it as a file"
        ) from None
    return _table(title, bunch.frame)


def _table(title: str, frame: Any) -> Table:
    from ttcore.tables import MAX_NAME, Table

    long = next((name for name in frame if len(name) > MAX_NAME), None)
    if long is not None or not len(frame):
        what = f"a column name of {len(long):,} characters" if long is not None else "no rows"
        raise _refusal(f"{shown(title)} has {what}; choose another data set")
    return Table(tuple(_column(name, frame[name]) for name in frame), len(frame))


def _column(name: str, series: Any) -> Column:
    import numpy as np
    import pandas as pd  # type: ignore[import-untyped]

    from ttcore.tables import Column

    if pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_bool_dtype(series.dtype):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return Column(name, "number", values, int(np.isnan(values).sum()), int(np.isinf(values).sum()))
    codes, found = pd.factorize(series)
    words = [_unquoted(str(word)) for word in found]
    categories = sorted(set(words))
    code_of = {word: code for code, word in enumerate(categories)}
    # The last one is for code -1, a missing cell.
    values = np.array([*(code_of[word] for word in words), -1], np.int32)[codes]
    return Column(name, "category", values, int((values < 0).sum()), categories=tuple(categories))


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] == "'" else word


def _make_room(home: Path) -> None:
    """Remove the oldest downloads while all together are too large."""
    # Another process may be at the same.
    with suppress(FileNotFoundError):
        files = sorted((file.stat().st_mtime, file.stat().st_size, file) for file in home.rglob("*.gz"))
        total = sum(size for _, size, _ in files)
        for _, size, file in files:
            if total <= MAX_DOWNLOADS_BYTES:
                break
            file.unlink()
            total -= size


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_answer(json.load(sys.stdin))))
