"""Every way to compute a contraction gives what numpy.einsum gives; the generated loops are run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from tests.test_einsum_contraction import contractions
from ttcore.einsum_check import MAX_LOOP_STEPS, compare
from ttcore.einsum_contraction import Contraction, parse_contraction
from ttcore.einsum_examples import EXAMPLES
from ttcore.einsum_operation import operation
from ttcore.einsum_path import best, left_to_right
from ttcore.einsum_run import by_loops, by_pairs, draw
from ttcore.einsum_text import einsum_line, loops


def example(name: str) -> Contraction:
    return parse_contraction(EXAMPLES[name].expression, EXAMPLES[name].shapes)


def small(contraction: Contraction) -> Contraction:
    """The same with no size above 2, if its loops would take too long."""
    if contraction.steps <= MAX_LOOP_STEPS:
        return contraction
    shapes = tuple(tuple(min(size, 2) for size in shape) for shape in contraction.shapes)
    return Contraction(contraction.operands, contraction.output, shapes)


def run_source(contraction: Contraction, tensors: tuple[np.ndarray, ...]) -> Any:
    """What the generated program leaves in its result."""
    given: dict[str, Any] = dict(zip(contraction.names, tensors, strict=True))
    exec(compile(loops(contraction), "loops", "exec"), given)
    return given[contraction.result_name]


@given(contractions())
@settings(max_examples=200, deadline=None)
def test_all_ways_give_what_numpy_gives(contraction):
    tensors = draw(contraction, 3)
    wanted = np.einsum(contraction.expression, *tensors)
    np.testing.assert_array_equal(by_loops(contraction, tensors), wanted)
    for path in (left_to_right(contraction), best(contraction)):
        found = by_pairs(path, tensors)
        assert found.shape == contraction.result_shape
        np.testing.assert_allclose(found, wanted, atol=1e-9)
    comparison = compare(contraction, 3)
    assert comparison.agree and comparison.difference <= 1e-9
    assert all(way.difference is not None for way in comparison.ways)


@given(contractions())
@settings(max_examples=100, deadline=None)
def test_the_generated_loops_are_a_program(contraction):
    tensors = draw(contraction, 4)
    np.testing.assert_array_equal(run_source(contraction, tensors), np.einsum(contraction.expression, *tensors))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_generated_loops_of_every_example(name):
    contraction = small(example(name))
    tensors = draw(contraction, 0)
    wanted = by_loops(contraction, tensors)
    np.testing.assert_allclose(run_source(contraction, tensors), wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.einsum(contraction.expression, *tensors), wanted, rtol=1e-9, atol=1e-9)


def test_letters_that_are_names_too():
    contraction = parse_contraction("AB,BC->AC", "2x3, 3x4")
    tensors = draw(contraction, 0)
    np.testing.assert_array_equal(run_source(contraction, tensors), tensors[0] @ tensors[1])


def test_more_loops_than_python_nests():
    contraction = parse_contraction("abcdefghijk,klmnopqrstuvw->aw", "x".join(["1"] * 11) + "," + "x".join(["1"] * 13))
    tensors = draw(contraction, 1)
    assert "np.ndindex" in loops(contraction)
    np.testing.assert_array_equal(run_source(contraction, tensors), np.einsum(contraction.expression, *tensors))


# ---- the ordinary operation -----------------------------------------------------------------------------------------

# Expression, shapes, and the lines of torch and NumPy.
OPERATIONS = [
    ("ij->ij", "2x3", "A.clone()", "A.copy()"),
    ("ij->", "2x3", "A.sum()", "A.sum()"),
    ("ij->i", "2x3", "A.sum(dim=1)", "A.sum(axis=1)"),
    ("ijk->j", "2x3x4", "A.sum(dim=(0, 2))", "A.sum(axis=(0, 2))"),
    ("ijk->kj", "2x3x4", "A.sum(dim=0).T", "A.sum(axis=0).T"),
    ("ij->ji", "2x3", "A.T", "A.T"),
    ("ijk->kij", "2x3x4", "A.permute(2, 0, 1)", "A.transpose(2, 0, 1)"),
    ("ii->", "3x3", "torch.trace(A)", "np.trace(A)"),
    ("ii->i", "3x3", "torch.diagonal(A)", "np.diagonal(A)"),
    ("bii->b", "2x3x3", "torch.diagonal(A, dim1=1, dim2=2).sum(dim=1)", "np.diagonal(A, axis1=1, axis2=2).sum(axis=1)"),
    ("iii->i", "3x3x3", "torch.diagonal(torch.diagonal(A))", "np.diagonal(np.diagonal(A))"),
    ("i,i->", "3,3", "torch.dot(A, B)", "np.dot(A, B)"),
    ("ij,ij->", "2x3,2x3", "(A * B).sum()", "(A * B).sum()"),
    ("ij,ji->", "2x3,3x2", "(A * B.T).sum()", "(A * B.T).sum()"),
    ("i,j->ij", "2,3", "torch.outer(A, B)", "np.outer(A, B)"),
    ("i,j->ji", "2,3", "torch.outer(B, A)", "np.outer(B, A)"),
    ("ij,k->ijk", "2x3,4", "torch.tensordot(A, B, dims=0)", "np.multiply.outer(A, B)"),
    ("ij,j->i", "2x3,3", "A @ B", "A @ B"),
    ("i,ij->j", "2,2x3", "A @ B", "A @ B"),
    ("ij,i->j", "2x3,2", "A.T @ B", "A.T @ B"),
    ("ij,jk->ik", "2x3,3x4", "A @ B", "A @ B"),
    ("ij,jk->ki", "2x3,3x4", "B.T @ A.T", "B.T @ A.T"),
    ("ij,kj->ik", "2x3,4x3", "A @ B.T", "A @ B.T"),
    ("ji,jk->ik", "3x2,3x4", "A.T @ B", "A.T @ B"),
    ("bij,bjk->bik", "2x3x4,2x4x5", "torch.bmm(A, B)", "A @ B"),
    ("bij,bkj->bik", "2x3x4,2x5x4", "torch.bmm(A, B.mT)", "A @ B.mT"),
    ("abij,abjk->abik", "2x2x3x4,2x2x4x5", "A @ B", "A @ B"),
    ("bij,oj->bio", "2x3x4,5x4", "A @ B.T", "A @ B.T"),
    ("ijk,ikl->jl", "5x10x7,5x7x2", "torch.tensordot(A, B, dims=([0, 2], [0, 1]))",
     "np.tensordot(A, B, axes=([0, 2], [0, 1]))"),
    ("ij,ij->ij", "2x3,2x3", "A * B", "A * B"),
    ("ij,j->ij", "2x3,3", "A * B", "A * B"),
    ("ij,i->ij", "2x3,2", "A * B[:, None]", "A * B[:, None]"),
    ("bi,bi->b", "2x3,2x3", "(A * B).sum(dim=1)", "(A * B).sum(axis=1)"),
    ("ij,jk,kl->il", "2x3,3x4,4x5", "A @ B @ C", "A @ B @ C"),
    ("i,ij,j->", "2,2x3,3", "A @ B @ C", "A @ B @ C"),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "shapes", "in_torch", "in_numpy"), OPERATIONS)
def test_the_operation_is_recognized_from_the_structure(expression, shapes, in_torch, in_numpy):
    contraction = parse_contraction(expression, shapes)
    found = operation(contraction)
    assert found is not None and (found.torch, found.numpy) == (in_torch, in_numpy)
    check_operation(contraction)


def check_operation(contraction: Contraction) -> bool:
    """Both lines and the function do what einsum does, if there is such an operation."""
    tensors = draw(contraction, 5)
    wanted = np.einsum(contraction.expression, *tensors)
    with_torch = {name: torch.tensor(tensor) for name, tensor in zip(contraction.names, tensors, strict=True)}
    line = eval(einsum_line(contraction, "torch"), {"torch": torch, **with_torch})
    np.testing.assert_allclose(line, wanted, rtol=1e-9, atol=1e-9)
    same = operation(contraction)
    if same is None:
        return False
    np.testing.assert_allclose(same.apply(tensors), wanted, rtol=1e-9, atol=1e-9)
    by_torch = eval(same.torch, {"torch": torch, **with_torch})
    by_numpy = eval(same.numpy, {"np": np, **dict(zip(contraction.names, tensors, strict=True))})
    assert by_torch.shape == by_numpy.shape == contraction.result_shape
    np.testing.assert_allclose(by_torch, wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(by_numpy, wanted, rtol=1e-9, atol=1e-9)
    return True


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_what_torch_says(name):
    contraction = example(name)
    if name == "tt-layer":
        contraction = Contraction(contraction.operands, contraction.output, ((2, 8, 8, 8, 8), *contraction.shapes[1:]))
        tensors = draw(contraction, 0)
        weight = torch.einsum("iox,xjpy,ykqz,zlr->opqrijkl", *map(torch.tensor, tensors[1:])).reshape(16, 4096)
        dense = torch.tensor(tensors[0]).reshape(2, 4096) @ weight.T
        found = by_pairs(best(contraction), tensors)
        np.testing.assert_allclose(found.reshape(2, 16), dense, rtol=1e-9, atol=1e-9 * float(dense.abs().max()))
        assert operation(contraction) is None
    else:
        assert check_operation(contraction)


@given(contractions())
@settings(max_examples=200, deadline=None)
def test_whatever_is_recognized_is_right(contraction):
    check_operation(contraction)


# ---- bounds ---------------------------------------------------------------------------------------------------------


def test_what_is_too_much_work_is_not_begun():
    comparison = compare(example("tt-layer"), 0)
    notes = {way.name: way.note for way in comparison.ways}
    assert notes["explicit loops"].startswith("not run: 8.59 billion steps")
    assert comparison.agree and comparison.result is not None
    assert len([way for way in comparison.ways if way.difference is not None]) == 3


def test_a_contraction_that_nothing_can_run():
    # Every order makes an array of a trillion entries.
    contraction = parse_contraction("ab,bc,ca,ad,bd,cd->", ",".join(["800x800"] * 6))
    comparison = compare(contraction, 0)
    assert comparison.result is None and all(way.note.startswith("not run") for way in comparison.ways)


def test_small_tensors_are_small_whole_numbers():
    small_one, large_one = draw(parse_contraction("ij,kl->", "8x8, 13x5"), 0)
    assert set(small_one.reshape(-1)) <= set(range(-3, 4))
    assert len(set(large_one.reshape(-1))) == 65
    again = draw(parse_contraction("ij,kl->", "8x8, 13x5"), 0)
    np.testing.assert_array_equal(large_one, again[1])
