from __future__ import annotations

import pytest
import torch

from tests.tables import NAMES, SHAPES, dense_by_einsum, random_cores
from ttcore.shapes import replace_ranks, stacked_shape
from ttcore.stack import Stack


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_no_weight_and_is_taken_off_again(name):
    shapes = [SHAPES[name], replace_ranks(SHAPES[name], 1), replace_ranks(SHAPES[name], 3)]
    stack = Stack(shapes)
    own = [random_cores(shape, seed=seed) for seed, shape in enumerate(shapes)]
    vectors = [torch.cat([core.reshape(-1) for core in cores]) for cores in own]
    flat = stack.pack(vectors)
    for row, (shape, cores) in enumerate(zip(shapes, own, strict=True)):
        assert torch.equal(stack.own_parameters(flat, row), vectors[row])
        for back, core in zip(stack.own_cores(flat, row), cores, strict=True):
            assert torch.equal(back, core)
        common = [core[row] for core in stack.cores(flat)]
        torch.testing.assert_close(dense_by_einsum(common, stack.shape), dense_by_einsum(cores, shape))


def test_the_common_shape_has_the_largest_rank_at_every_bond():
    shape = SHAPES["unequal ranks"]
    runs = [replace_ranks(shape, ranks) for ranks in ((2, 5, 1), (4, 1, 3))]
    assert stacked_shape(runs).ranks == (4, 5, 3)
    assert stacked_shape(runs[:1]) is runs[0]


def test_cores_are_views():
    stack = Stack([SHAPES["two cores"]] * 2)
    flat = torch.zeros(2, SHAPES["two cores"].num_parameters)
    stack.cores(flat)[0][1] = 1
    assert flat[1].sum() == stack.cores(flat)[0][1].numel()
    assert flat[0].sum() == 0
