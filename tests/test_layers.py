from __future__ import annotations

import copy
import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from tests.tables import NAMES, SHAPES, random_cores
from ttcore import InputError, TTLinear, TTShape
from ttcore.layers import shape_of_cores


def layer(name: str, bias: bool = True, dtype: torch.dtype = torch.float64, init: str = "glorot") -> TTLinear:
    return TTLinear(SHAPES[name], bias=bias, init=init, generator=torch.Generator().manual_seed(0), dtype=dtype)


def dense_twin(tt: TTLinear) -> nn.Linear:
    weight = tt.to_dense().detach()
    twin = nn.Linear(tt.in_features, tt.out_features, bias=tt.bias is not None, dtype=weight.dtype)
    with torch.no_grad():
        twin.weight.copy_(weight)
        if tt.bias is not None:
            twin.bias.copy_(tt.bias)
    return twin


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_linear_layer_of_its_dense_weight(name, dtype, bias):
    tt = layer(name, bias, dtype)
    twin = dense_twin(tt)
    x = torch.randn(6, tt.in_features, dtype=dtype, requires_grad=True)
    direction = torch.randn(6, tt.out_features, dtype=dtype)

    y = tt(x)
    torch.testing.assert_close(y, twin(x))
    (gradient,) = torch.autograd.grad(y, x, direction, retain_graph=True)
    (wanted,) = torch.autograd.grad(twin(x), x, direction)
    torch.testing.assert_close(gradient, wanted)

    # The gradient of the dense weight, sent back through to_dense, is the gradient of the cores.
    twin(x).backward(direction)
    assert twin.weight.grad is not None
    through_dense = torch.autograd.grad(tt.to_dense(), list(tt.cores), twin.weight.grad)
    y.backward(direction)
    for core, expected in zip(tt.cores, through_dense, strict=True):
        torch.testing.assert_close(core.grad, expected)
    if tt.bias is not None:
        torch.testing.assert_close(tt.bias.grad, twin.bias.grad)


@pytest.mark.parametrize("leading", [(), (1,), (3,), (2, 3), (2, 1, 3), (0,), (2, 0), (0, 3, 2)])
@pytest.mark.parametrize("name", ["one core, padded", "two cores", "seven cores, padded"])
def test_any_leading_shape(name, leading):
    tt = layer(name)
    x = torch.randn(*leading, tt.in_features, dtype=torch.float64)
    y = tt(x)
    assert y.shape == (*leading, tt.out_features)
    torch.testing.assert_close(y, dense_twin(tt)(x))
    y.sum().backward()
    assert all(core.grad is not None and core.grad.shape == core.shape for core in tt.cores)


def test_an_input_that_is_a_view_of_something_else():
    tt = layer("two cores")
    x = torch.randn(tt.in_features, 2, 5, dtype=torch.float64).permute(2, 1, 0)
    torch.testing.assert_close(tt(x), dense_twin(tt)(x))


@pytest.mark.parametrize("name", ["two cores", "primes, padded", "modes of 1 inside", "one core"])
def test_gradcheck(name):
    tt = layer(name)
    x = torch.randn(3, tt.in_features, dtype=torch.float64, requires_grad=True)

    def outputs(x, bias, *cores):
        named = {"bias": bias, **{f"cores.{k}": core for k, core in enumerate(cores)}}
        return torch.func.functional_call(tt, named, (x,))

    assert tt.bias is not None
    assert torch.autograd.gradcheck(outputs, (x, tt.bias, *tt.cores))
    assert torch.autograd.gradgradcheck(outputs, (x, tt.bias, *tt.cores))


@pytest.mark.parametrize("wrong", [(3, 11), (3, 13), (12, 3), (1,), ()])
def test_a_wrong_input_size_is_refused(wrong):
    with pytest.raises(InputError, match="in_features = 12"):
        layer("two cores")(torch.zeros(wrong, dtype=torch.float64))


def test_state_dict_round_trip():
    tt = layer("unequal ranks")
    file = io.BytesIO()
    torch.save(tt.state_dict(), file)
    file.seek(0)
    other = TTLinear(SHAPES["unequal ranks"], dtype=torch.float64)
    x = torch.randn(2, tt.in_features, dtype=torch.float64)
    assert not torch.equal(other(x), tt(x))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), tt(x))
    assert set(tt.state_dict()) == {"bias", "cores.0", "cores.1", "cores.2", "cores.3"}


def test_a_deep_copy_is_the_same_and_its_own():
    tt = layer("five cores, padded")
    twin = copy.deepcopy(tt)
    x = torch.randn(2, tt.in_features, dtype=torch.float64)
    before = tt(x).detach()
    assert torch.equal(twin(x), before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert torch.equal(tt(x), before)
    assert not torch.equal(twin(x), before)


@pytest.mark.parametrize("name", ["one core, padded", "two cores", "primes, padded", "seven cores, padded"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("samples", [1, 300])
def test_autocast_gives_what_a_linear_layer_gives(name, dtype, samples):
    tt = layer(name, dtype=dtype)
    twin = dense_twin(tt)
    x = torch.randn(samples, tt.in_features, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, expected = tt(x), twin(x)
    assert y.dtype == expected.dtype
    torch.testing.assert_close(y, expected, rtol=0.1, atol=0.1)
    y.float().sum().backward()
    assert all(core.grad is not None and core.grad.dtype == dtype for core in tt.cores)


def test_no_grad_and_sequential():
    model = nn.Sequential(layer("two cores"), nn.ReLU(), nn.Linear(6, 2, dtype=torch.float64)).eval()
    with torch.no_grad():
        y = model(torch.randn(5, 12, dtype=torch.float64))
    assert y.shape == (5, 2)
    assert not y.requires_grad
    assert "in_features=12" in repr(model)


def test_it_moves_and_converts_like_any_module():
    tt = layer("two cores").to(torch.float32)
    assert all(parameter.dtype == torch.float32 for parameter in tt.parameters())
    assert tt(torch.zeros(1, 12)).dtype == torch.float32
    empty = TTLinear(SHAPES["two cores"], device="meta")
    assert all(parameter.is_meta for parameter in empty.parameters())


def test_an_ordinary_loop_trains_it():
    truth = layer("two cores", init="he")
    x = torch.randn(64, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y = truth(x).detach()
    tt = TTLinear(SHAPES["two cores"], generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    optimizer = torch.optim.Adam(tt.parameters(), lr=0.03)
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(tt(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]


def test_starts():
    with pytest.raises(InputError, match="unit, glorot, he") as refused:
        TTLinear(SHAPES["two cores"], init="zeros")
    assert refused.value.field == "init"
    bound = 12**-0.5
    biases = layer("two cores").bias
    assert biases is not None and biases.abs().max() <= bound and biases.abs().max() > 0
    assert torch.equal(layer("two cores").to_dense(), layer("two cores").to_dense())
    torch.manual_seed(11)
    first = TTLinear(SHAPES["two cores"]).to_dense()
    torch.manual_seed(11)
    assert torch.equal(TTLinear(SHAPES["two cores"]).to_dense(), first), "torch's own seed is the default"


# ---- from cores -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_from_cores(name):
    shape = SHAPES[name]
    arrays = [core.numpy() for core in random_cores(shape)]
    for array in arrays:
        array.flags.writeable = False  # as they come from an event
    bias = np.arange(shape.out_features, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tt = TTLinear.from_cores(arrays, shape.in_features, shape.out_features, bias)
    assert tt.shape == shape
    x = torch.randn(2, shape.in_features, dtype=torch.float64)
    expected = x @ tt.to_dense().T + torch.from_numpy(bias)
    torch.testing.assert_close(tt(x), expected)
    assert TTLinear.from_cores(arrays).bias is None
    assert all(np.array_equal(core.detach().numpy(), array) for core, array in zip(tt.cores, arrays, strict=True))


@pytest.mark.parametrize(
    ("cores", "words"),
    [
        ([], "at least one core"),
        ([(1, 2, 2, 3), (2, 2, 2, 1)], "core 2 has shape"),
        ([(2, 2, 2, 1)], "core 1 has shape"),
        ([(1, 2, 2, 2)], "end with a rank of 1"),
        ([(1, 2, 1)], "core 1 has shape"),
    ],
)
def test_what_is_not_a_train_is_refused(cores, words):
    with pytest.raises(InputError, match=words):
        shape_of_cores(cores)
    with pytest.raises(InputError, match=words):
        TTLinear.from_cores([np.zeros(core) for core in cores])


def test_cores_too_small_for_the_features_are_refused():
    with pytest.raises(InputError, match="less than the 9"):
        TTLinear.from_cores([np.zeros((1, 8, 2, 1))], in_features=9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_on_cuda():
    tt = TTLinear(TTShape((8, 8), (4, 4), 3), device="cuda")
    assert tt(torch.zeros(2, 64, device="cuda")).device.type == "cuda"
    with torch.autocast("cuda"):
        assert tt(torch.zeros(2, 64, device="cuda")).dtype == torch.float16
