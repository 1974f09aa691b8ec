"""A tensor-train layer as a contraction: there and back, its costs beside the planner's, and the pictures of them."""

from __future__ import annotations

import numpy as np
import pytest

from dashboard.einsum_figures import batch_figure, batch_sentence, rank_figure, rank_sentence
from ttcore.einsum_contraction import MAX_ENTRIES, Contraction, parse_contraction
from ttcore.einsum_examples import EXAMPLES, REFERENCE
from ttcore.einsum_layer import (
    MAX_LAYER_CORES,
    as_layer,
    fitting_samples,
    layer_contraction,
    layer_costs,
    weighed_ranks,
)
from ttcore.einsum_path import left_to_right
from ttcore.einsum_run import by_pairs, draw
from ttcore.errors import InputError
from ttcore.planning import candidates
from ttcore.shapes import TTShape

LAYERS = {
    "reference": REFERENCE,
    "two cores": TTShape((3, 5), (2, 4), 3),
    "different ranks": TTShape((4, 2, 3), (1, 5, 2), (2, 6)),
    "many samples' worth": TTShape((16, 16), (16, 16), 2),
    "wide out": TTShape((2, 2, 2), (8, 8, 8), 4),
    "six cores": TTShape((2,) * 6, (3,) * 6, 2),
    "fifteen cores": TTShape((2,) * 15, (1,) * 15, 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_recognized_again(name):
    shape = LAYERS[name]
    assert as_layer(layer_contraction(shape, 7)) == (shape, 7)


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_written_can_be_typed(name):
    contraction = layer_contraction(LAYERS[name], 2)
    typed = ", ".join("x".join(map(str, shape)) for shape in contraction.shapes)
    assert parse_contraction(contraction.expression, typed) == contraction


def test_other_letters_and_another_order_of_axes():
    shape, samples = as_layer(parse_contraction("qub,uvr,brw->wqv", "6x3x5, 3x2x4, 5x4x3")) or (None, 0)
    assert shape == TTShape((3, 5), (2, 3), 4) and samples == 6


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "tt-layer"])
def test_no_other_example_is_a_layer(name):
    assert as_layer(parse_contraction(EXAMPLES[name].expression, EXAMPLES[name].shapes)) is None


@pytest.mark.parametrize(
    "expression",
    ["bij,iox,xjpp->bop", "bij,iox,xjp->bopj", "bij,iox,xjp->op", "bij,iox,yjp->bop", "bij,io,jp->bop", "bi,io,op->bp"],
)
def test_what_only_looks_like_a_layer(expression):
    letters = expression.split("->")[0]
    shapes = ", ".join("x".join("2" for _ in term) for term in letters.split(","))
    assert as_layer(parse_contraction(expression, shapes)) is None


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "fifteen cores"])
def test_the_contraction_is_the_layer(name):
    shape = LAYERS[name]
    contraction = layer_contraction(shape, 3)
    data, *cores = draw(contraction, 2)
    dense = np.ones((1, 1, 1))
    for core, (left, m, n, right) in zip(cores, shape.core_shapes, strict=True):
        dense = np.einsum("uvr,rmns->umvns", dense, core.reshape(left, m, n, right))
        dense = dense.reshape(dense.shape[0] * m, dense.shape[2] * n, right)
    wanted = data.reshape(3, -1) @ dense[:, :, 0]
    found = by_pairs(left_to_right(contraction), (data, *cores)).reshape(3, -1)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("samples", [1, 10, 256])
def test_costs_are_the_planners(name, samples):
    shape = LAYERS[name]
    costs = layer_costs(shape)
    plans = candidates(shape, samples)
    sweeps = [plan.forward.flops for plan in plans if plan.order != "weight" and set(map(len, plan.groups)) == {1}]
    assert costs.sweep.at(samples) == min(sweeps)
    assert costs.rebuild.at(samples) == min(plan.forward.flops for plan in plans if plan.order == "weight")
    assert costs.dense.at(samples) == plans[0].dense_flops
    # A sweep from the left is the contraction from left to right.
    (left,) = (plan for plan in plans if plan.order == "left" and set(map(len, plan.groups)) == {1})
    assert left_to_right(layer_contraction(shape, samples)).flops == left.forward.flops


@pytest.mark.parametrize("name", LAYERS)
def test_where_the_lines_cross(name):
    costs = layer_costs(LAYERS[name])
    for crossing, later in ((costs.crossing, costs.rebuild), (costs.dense_crossing, costs.dense)):
        cheaper = [samples for samples in range(1, 4000) if later.at(samples) < costs.sweep.at(samples)]
        if crossing is None or crossing >= 4000:
            assert not cheaper
        else:
            assert cheaper[0] == crossing and len(cheaper) == 4000 - crossing


def test_too_many_cores_are_refused():
    with pytest.raises(InputError, match="16 cores, and 15 fit"):
        layer_contraction(TTShape((1,) * (MAX_LAYER_CORES + 1), (1,) * (MAX_LAYER_CORES + 1), 1), 1)


@pytest.mark.parametrize("name", LAYERS)
def test_the_samples_that_fit(name):
    shape = LAYERS[name]
    samples = fitting_samples(shape, 256)
    contraction = layer_contraction(shape, samples)
    assert isinstance(contraction, Contraction) and 1 <= samples <= 256
    entries = samples * (shape.padded_in_features + shape.padded_out_features) + shape.num_parameters
    assert entries <= MAX_ENTRIES


@pytest.mark.parametrize("name", LAYERS)
def test_the_pictures(name):
    shape = LAYERS[name]
    costs = layer_costs(shape)
    figures = (batch_figure(costs, 100), rank_figure(shape, 100))
    for figure in figures:
        assert len(figure["data"]) == 3
        for trace in figure["data"]:
            assert len(trace["x"]) == len(trace["y"]) == len(trace["text"]) and all(value > 0 for value in trace["y"])
            assert trace["x"] == sorted(set(trace["x"]))
    assert 100 in figures[0]["data"][0]["x"]
    assert [max(one.ranks) for one in weighed_ranks(shape)] == figures[1]["data"][0]["x"]
    assert batch_sentence(costs, 100).endswith(".") and rank_sentence(shape, 100).endswith(".")


def test_the_crossing_is_named():
    text = batch_sentence(layer_costs(REFERENCE), 256)
    assert "Up to 3 samples sweeping" in text and "from 4 on rebuilding W" in text and "3.52 times" in text
