"""The advice of the Layer section: modes to use, ranks within a budget, and the way to the Trade-off page."""

from __future__ import annotations

import pytest

from dashboard.advice import proposal_table
from tests.test_data_page import engine  # noqa: F401
from tests.test_pages import drawn, open_app, settings_of, typed  # noqa: F401
from ttcore.advisor import advise


def verdicts(app) -> list[str]:
    return [info.value for info in app.sidebar.info]


def press(app, key):
    app.button(key=key).click()
    return drawn(app.run())


def advised(app):
    return next(box for box in app.sidebar.selectbox if str(box.key).startswith("advised_"))


def test_proposals_are_told_with_their_weights_at_the_current_rank(open_app):  # noqa: F811
    app = open_app(preset="digits")
    assert advised(app).options[0] == "8·8 → 5·2 · 336 weights (52.5 %)"
    assert any("at rank 6 (8, 8) → (5, 2) has 336" in text.value for text in app.sidebar.markdown)
    app = typed(app, ranks="4")
    assert advised(app).options[0] == "8·8 → 5·2 · 224 weights (35 %)"
    assert advised(typed(app, ranks="nonsense")).options[0].startswith("8·8 → 5·2 · 336")


def test_a_proposal_is_used(open_app):  # noqa: F811
    app = open_app(preset="digits", ranks="3")
    advised(app).select_index(3)
    app = press(app, "use_modes")
    assert settings_of(app) == {"preset": "digits", "in": "4,4,4", "out": "1,2,5"}
    assert not app.error
    assert app.slider(key="cores").value == 3


@pytest.mark.parametrize(
    ("settings", "budget", "said", "fields"),
    [
        ({}, "350", "Ranks 6: 336 of at most 350 weights.", {"rank": 6, "ranks": ""}),
        ({}, "50 %", "Ranks 5: 280 of at most 320 weights.", {"rank": 5, "ranks": ""}),
        ({"in": "4,4,4", "out": "5,2,1", "ranks": "2"}, "300", "of at most 300 weights.", {}),
        ({"preset": "reference", "in": "64,64", "out": "4,4"}, "100 %", "Ranks 128: 65,536 of", {"ranks": "128"}),
    ],
)
def test_ranks_within_a_budget_are_told_and_used(open_app, settings, budget, said, fields):  # noqa: F811
    app = open_app(**{"preset": "digits"} | settings)
    app = typed(app, budget=budget)
    (sentence,) = [text.value for text in app.sidebar.caption if "of at most" in text.value]
    assert said in sentence
    app = press(app, "use_ranks")
    for key, value in fields.items():
        assert app.session_state[key] == value
    weights = int(sentence.split(": ")[1].split(" of")[0].replace(",", ""))
    assert any(f"{weights:,}" in str(part.proto.json) for part in app.get("bidi_component"))
    assert not app.error


@pytest.mark.parametrize(
    ("budget", "expected"), [("10", "below the 56 weights"), ("lots", "'lots' is not"), ("0", "at least 1 parameter")]
)
def test_a_budget_that_cannot_be_kept_gets_a_sentence(open_app, budget, expected):  # noqa: F811
    app = typed(open_app(preset="digits"), budget=budget)
    (error,) = app.error
    assert expected in error.value
    before = settings_of(app)
    # It is no setting of the run, and nothing comes of it.
    assert not press(app, "use_ranks").button(key="train").disabled
    assert settings_of(app) == before


def test_the_proposals_are_swept(open_app):  # noqa: F811
    app = press(typed(open_app(preset="digits"), frac="0.3"), "sweep_proposals")
    assert app.selectbox(key="sweep_preset").value == "digits"
    assert settings_of(app)["frac"] == "0.3"
    told = next(text.value for text in app.main.markdown if "runs**" in text.value)
    assert "6 factorizations" in told
    assert not app.button(key="sweep_start").disabled


@pytest.mark.parametrize(
    ("preset", "compresses"), [("reference", True), ("digits", True), ("diabetes", False), ("linnerud", False)]
)
def test_that_a_layer_cannot_compress_is_said_at_once(open_app, preset, compresses):  # noqa: F811
    said = verdicts(open_app(preset=preset))
    assert [("cannot compress" in text) for text in said] == ([] if compresses else [True])


def test_a_table_of_proposals():
    table = proposal_table(advise(7, 3).proposals)
    assert len({len(column) for column in table.values()}) == 1
    assert "none" in table["padding"]
    assert any(" in" in padding or " out" in padding for padding in table["padding"])
