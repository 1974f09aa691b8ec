"""The Einsum page as Streamlit runs it, without a browser; it needs no engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from ttcore.einsum_examples import EXAMPLES, FIRST, REFERENCE, TRAIN_LAYER
from ttcore.einsum_layer import layer_contraction

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "pages" / "einsum.py"


def opened(**settings: str) -> AppTest:
    return opened_after({}, **settings)


def opened_after(train: dict[str, Any], /, **settings: str) -> AppTest:
    """With what the Train page has left in the session."""
    app = AppTest.from_file(str(PAGE), default_timeout=60)
    for key, value in train.items():
        app.session_state[key] = value
    for key, value in settings.items():
        app.query_params[key] = value
    return drawn(app.run())


def drawn(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def settings_of(app: AppTest) -> dict[str, str]:
    return {key: value[0] if isinstance(value, list) else value for key, value in app.query_params.items()}


def typed(app: AppTest, **texts: str) -> AppTest:
    for name, text in texts.items():
        app.text_input(key=f"einsum_{name}").set_value(text)
    return drawn(app.run())


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.caption))


def code(app: AppTest) -> str:
    return "\n".join(element.value for element in app.code)


def test_the_page_opens_with_a_matrix_product():
    app = opened()
    assert app.selectbox(key="einsum_example").value == FIRST
    assert not app.error and not app.warning and settings_of(app) == {}
    assert 'torch.einsum("ij,jk->ik", A, B)' in code(app) and "A @ B" in code(app)
    assert "C[i, k] += A[i, j] * B[j, k]" in code(app)
    assert "4 ways give the same result of 4x5, exactly." in words(app)


@pytest.mark.parametrize("name", [*EXAMPLES, TRAIN_LAYER])
def test_every_example_opens(name):
    app = opened()
    app.selectbox(key="einsum_example").select(name)
    drawn(app.run())
    assert not app.error and not app.warning
    assert settings_of(app).get("example", FIRST) == name
    example = EXAMPLES.get(name, EXAMPLES["tt-layer"])
    assert app.text_input(key="einsum_expression").value == example.expression
    assert f'np.einsum("{example.expression}"' in code(app)
    assert "ways give the same" in words(app)
    # All steps, to the end.
    for _ in range(int(app.slider(key="einsum_done").max)):
        app.button(key="einsum_next").click()
        drawn(app.run())
    assert app.button(key="einsum_next").disabled and "**Done:**" in words(app)
    # An address is the same page.
    again = opened(**settings_of(app))
    assert again.text_input(key="einsum_shapes").value == example.shapes and not again.error


def test_edited_broken_and_mended():
    app = typed(opened(), shapes="6x3, 3x2")
    assert "same result of 6x2" in words(app) and settings_of(app) == {"shapes": "6x3, 3x2"}
    app = typed(app, expression="ij,jk->ki")
    assert "same result of 2x6" in words(app) and "B.T @ A.T" in code(app)
    app = typed(app, shapes="6x3, 4x2")
    (error,) = app.error
    assert "letter j is 3 in tensor A (ij, 6x3) and 4 in tensor B (jk, 4x2)" in error.value
    assert not app.code and "Mend what is marked" in app.info[0].value
    app = typed(app, expression="ij,jk->iz", shapes="6x3, 3x2")
    assert "letter z" in app.error[0].value
    app = typed(app, expression="ij,jk->ik")
    assert not app.error and "same result of 6x2" in words(app)


def test_an_output_that_is_left_out_is_explained():
    app = typed(opened(), expression="ij,jk")
    assert "as NumPy means it" in app.info[0].value and "here ik" in app.info[0].value


def test_the_seed_draws_others_and_a_bad_one_is_refused():
    app = typed(opened(), seed="7")
    assert settings_of(app) == {"seed": "7"} and not app.error
    for bad in ("seven", "-1", "1.5", str(2**40), ""):
        app = typed(app, seed=bad)
        assert "the seed" in app.error[0].value


def test_the_layer_of_the_train_page():
    train = {"in": "4,4,4", "out": "2,3,2", "rank": 5, "ranks": ""}
    app = opened_after(train)
    app.selectbox(key="einsum_example").select(TRAIN_LAYER)
    drawn(app.run())
    assert app.text_input(key="einsum_shapes").value == "256x4x4x4, 4x2x5, 5x4x3x5, 5x4x2"
    assert "(4, 4, 4) to (2, 3, 2), ranks (5, 5)" in words(app)
    app = opened_after({**train, "ranks": "2,3"})
    app.selectbox(key="einsum_example").select(TRAIN_LAYER)
    drawn(app.run())
    assert app.text_input(key="einsum_shapes").value == "256x4x4x4, 4x2x2, 2x4x3x3, 3x4x2"
    broken = opened_after({**train, "in": "four"})
    broken.selectbox(key="einsum_example").select(TRAIN_LAYER)
    drawn(broken.run())
    assert broken.text_input(key="einsum_expression").value == layer_contraction(REFERENCE, 256).expression
    assert "the published one" in words(broken)


def test_the_orders_of_the_reference_layer():
    app = opened(example="tt-layer")
    shown = words(app)
    assert "| left to right | 118 million | 3.4 |" in shown and "| best order | 34.7 million | 1 |" in shown
    assert "not run: 8.59 billion steps" in shown
    assert "from 4 on rebuilding W" in shown
    assert "**Step 1 of 4:** B with C, summed over x (8)" in shown
    app.button(key="einsum_next").click()
    drawn(app.run())
    assert "**Step 2 of 4:** D with E" in words(app)
    app.button(key="einsum_back").click()
    drawn(app.run())
    app.segmented_control(key="einsum_order").set_value("left to right")
    drawn(app.run())
    assert "**Step 1 of 4:** A with B, summed over i (8)" in words(app)


def test_an_example_with_fewer_steps_than_were_done():
    app = opened(example="tt-layer")
    app.slider(key="einsum_done").set_value(4)
    drawn(app.run())
    app.selectbox(key="einsum_example").select("trace")
    drawn(app.run())
    assert app.slider(key="einsum_done").max == 1


def test_an_address_that_asks_for_what_there_is_not():
    app = opened(example="nothing", colour="red", expression="i" * 500)
    (warning,) = app.warning
    assert "`example=nothing` is none of" in warning.value
    assert "`colour` is not a setting" in warning.value and "500 characters" in warning.value
    assert not app.error


@pytest.mark.parametrize("expression", ["", "...ij", "1", "__import__('os')", "ij,jk->ik->", "i" * 40, "→", ",", "->"])
def test_no_expression_breaks_the_page(expression):
    app = typed(opened(), expression=expression)
    assert len(app.error) == 1 and not app.error[0].value.startswith("Traceback")


def test_the_page_loads_no_torch():
    modules = [f"ttcore.{path.stem}" for path in (ROOT / "ttcore").glob("einsum_*.py")]
    program = "\n".join(
        ["import sys, json", *(f"import {name}" for name in modules), "print(json.dumps([*sys.modules]))"]
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "streamlit", "sklearn"} & set(json.loads(done.stdout))
