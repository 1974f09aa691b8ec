"""What a browser session remembers, and the one engine behind all of them."""

from __future__ import annotations

import pytest
import streamlit as st

from dashboard import session
from tests.pictures import run_snapshot
from ttcore import machine


@pytest.fixture
def visitor(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A session of its own; the cookies that its browser sends."""
    cookies: dict[str, str] = {}
    monkeypatch.setattr(type(st.context), "cookies", property(lambda self: cookies))
    monkeypatch.setattr(st, "session_state", _State())
    return cookies


class _State(dict):
    def __getattr__(self, name: str) -> object:
        return self[name]

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value


def test_a_browser_is_known_by_its_cookie(visitor):
    visitor["tensor_train_owner"] = "an-owner-of-twenty-and-more-letters"
    assert session.owner() == "an-owner-of-twenty-and-more-letters"


@pytest.mark.parametrize("cookie", ["", "short", "x" * 65, "<script>" * 4, "a" * 30 + ";", "ü" * 30])
def test_a_cookie_of_another_kind_is_not_taken(visitor, cookie):
    visitor["tensor_train_owner"] = cookie
    owner = session.owner()
    assert owner != cookie
    assert len(owner) >= 20


def test_an_owner_stays_the_same_within_a_session_and_differs_between_them(visitor, monkeypatch):
    first = session.owner()
    assert session.owner() == first
    visitor["tensor_train_owner"] = "sent-later-by-the-same-browser"
    assert session.owner() == first
    visitor.clear()
    monkeypatch.setattr(st, "session_state", _State())
    assert session.owner() != first


def test_curves_are_kept_and_let_go(visitor, monkeypatch):
    known = {run.id: run for run in (run_snapshot(id="a"), run_snapshot(id="b"))}

    class Engine:
        def snapshot(self, run_id: str) -> object:
            return known.get(run_id)

    monkeypatch.setattr(session, "engine", Engine)
    for run_id in ("b", "a", "b"):
        session.keep(run_id, True)
    assert [run.id for run in session.kept_runs()] == ["a", "b"]
    assert session.is_kept("a")
    session.keep("a", False)
    session.keep("never kept", False)
    assert [run.id for run in session.kept_runs()] == ["b"]
    del known["b"]
    assert session.kept_runs() == []


@pytest.mark.parametrize(("processors", "threads"), [(1, 1), (2, 1), (3, 2), (8, 7)])
def test_one_processor_stays_free_for_the_page(monkeypatch, processors, threads):
    monkeypatch.setattr(machine, "processors", lambda: processors)
    assert session.default_threads() == threads


def test_there_is_one_engine_and_it_ends_with_its_cache_entry():
    session.engine.clear()
    engine = session.engine()
    assert session.engine() is engine
    assert engine.worker_pid is not None
    session.engine.clear()
    assert engine.worker_pid is None
