"""The numbers of parameters in the papers."""

import pytest

import lstm_odyssey as lo

FORMULAS = {
    "vanilla": lambda M, N: 4 * (M * N + N**2 + N) + 3 * N,
    "nig": lambda M, N: 3 * (M * N + N**2 + N) + 2 * N,
    "nfg": lambda M, N: 3 * (M * N + N**2 + N) + 2 * N,
    "nog": lambda M, N: 3 * (M * N + N**2 + N) + 2 * N,
    "niaf": lambda M, N: 4 * (M * N + N**2 + N) + 3 * N,
    "noaf": lambda M, N: 4 * (M * N + N**2 + N) + 3 * N,
    "no_peepholes": lambda M, N: 4 * (M * N + N**2 + N),
    "cifg": lambda M, N: 3 * (M * N + N**2 + N) + 2 * N,
    "fgr": lambda M, N: 4 * (M * N + N**2 + N) + 3 * N + 9 * N**2,
    "tanh_rnn": lambda M, N: M * N + N**2 + N,
    "gru": lambda M, N: 3 * (M * N + N**2 + N),
    "gru_reset_after": lambda M, N: 3 * (M * N + N**2 + N) + N,
    "mgu": lambda M, N: 2 * (M * N + N**2 + N),
    "mut1": lambda M, N: 3 * M * N + 2 * N**2 + 3 * N,
    "mut2": lambda M, N: 3 * (M * N + N**2 + N),
    "mut3": lambda M, N: 3 * (M * N + N**2 + N),
    "janet": lambda M, N: 2 * (M * N + N**2 + N),
    "ligru": lambda M, N: 2 * (M * N + N**2 + N),
    "minlstm": lambda M, N: 3 * (M * N + N),
    "slstm": lambda M, N: 4 * (M * N + N**2 + N),
    "irnn": lambda M, N: M * N + N**2 + N,
    "indrnn": lambda M, N: M * N + 2 * N,
    "ugrnn": lambda M, N: 2 * (M * N + N**2 + N),
    "cornn": lambda M, N: M * N + 2 * N**2 + N,
    "ligru_ln": lambda M, N: 2 * (M * N + N**2 + 2 * N),
    "ln_lstm": lambda M, N: 4 * (M * N + N**2) + 14 * N,
}
INPUTS = {"TIMIT": 39, "IAM-OnDB": 4, "JSB Chorales": 88}

# A whole net is D directions of one layer, and one linear output layer that sees D·N blocks and a bias.
# TIMIT:  2 (4 (39·100 + 100² + 100) + 300) + 61 (2·100 + 1) = 112,600 + 12,261
# IAM:    2 (4 ( 4·100 + 100² + 100) + 300) + 82 (2·100 + 1) =  84,600 + 16,482   (81 characters and the blank)
# JSB:       4 (88·100 + 100² + 100) + 300  + 88 (  100 + 1) =  75,900 +  8,888
# FGR has 9·100² = 90,000 more in each direction.
NETS = {
    "TIMIT": (39, 61, True, {"vanilla": 124_861, "fgr": 304_861}),
    "IAM-OnDB": (4, 82, True, {"vanilla": 101_082, "fgr": 281_082}),
    "JSB Chorales": (88, 88, False, {"vanilla": 84_788, "fgr": 174_788}),
}


@pytest.mark.parametrize("N", [20, 100, 200])
@pytest.mark.parametrize("M", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("name", FORMULAS)
def test_a_layer_has_the_parameters_of_the_formula(name, M, N):
    """The traced cell's count, and the tensors of a real layer, are its paper's formula in M and N."""
    expected = FORMULAS[name](M, N)
    assert lo.variant(name).count(M, N) == expected
    layer = lo.RNN(name, M, N)
    assert sum(parameter.numel() for parameter in layer.parameters()) == expected
    assert layer.count() == expected


def test_every_variant_has_its_formula():
    """No built-in cell is left out above."""
    assert set(FORMULAS) == {name for name in lo.variant_names() if lo.variant(name).collection is not None}


@pytest.mark.parametrize("net", NETS)
def test_a_whole_net_has_the_parameters_of_the_paper(net):
    """Vanilla and FGR with N = 100 a direction and their output layer have the counts the paper gives for its nets."""
    M, outputs, bidirectional, expected = NETS[net]
    for name, count in expected.items():
        layer = lo.RNN(name, M, 100, bidirectional=bidirectional)
        directions = 1 + bidirectional
        assert layer.count() + outputs * (directions * 100 + 1) == count


def test_a_population_counts_each_member():
    """A member's count is that of a network of its own N, without what pads it, in both directions."""
    counts = lo.RNN("fgr", 39, [64, 100, 20], bidirectional=True).count()
    assert counts == [2 * FORMULAS["fgr"](39, N) for N in (64, 100, 20)]
