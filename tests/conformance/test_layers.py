"""``lo.check_layer``: right layers of other makes hold, and of wrong ones the promise that is broken is named."""

import pytest
import torch
from torch import nn

import lstm_odyssey as lo
from lstm_odyssey.conformance.foreign.ladder import PROMISES
from lstm_odyssey.conformance.foreign.mapping import LayerError

M, N = 3, 5
GATES = {
    "W.i W.f W.z W.o": "weight_ih",
    "R.i R.f R.z R.o": "weight_hh",
    "b.i b.f b.z b.o": ["bias_ih", "bias_hh"],
}
PEEPHOLES = {**GATES, "p.i p.f p.o": 0}


class Loop(nn.LSTMCell):
    """An LSTM as a loop over torch's cell, with a fault by name."""

    fault = ""

    def forward(self, x, state=None, lengths=None):
        T, B = x.shape[:2]
        zero = x.new_zeros(B, self.hidden_size)
        h, c = (zero, zero) if state is None or self.fault == "state ignored" else (state["y"], state["c"])
        outputs = []
        if self.fault == "leak between rows":
            x = x + 1e-3 * x.mean(1, keepdim=True)
        if self.fault == "look-ahead":
            x = x + 1e-3 * x.flip(0).cumsum(0).flip(0)
        if self.fault == "dropout":
            x = nn.functional.dropout(x, 0.2)
        if lengths is not None and self.fault != "padding is computed":
            x = torch.where((torch.arange(T).unsqueeze(1) < lengths).unsqueeze(2), x, 0)
        for t in range(T):
            if self.fault == "detached":
                c = c.detach()
            if self.fault == "single precision":
                h = h.float().to(x.dtype)
            new_h, new_c = super().forward(x[t], (h, c))
            if lengths is None or self.fault == "state of the padded step":
                h, c = new_h, new_c
                outputs.append(h if lengths is None else torch.where((t < lengths).unsqueeze(1), h, 0))
                continue
            keep = (t < lengths).unsqueeze(1)
            h, c = torch.where(keep, new_h, h), torch.where(keep, new_c, c)
            outputs.append(torch.where(keep, h, 0))
        return torch.stack(outputs), {"y": h, "c": c}


def call(layer, x, state, lengths):
    return layer(x, state, lengths)


def made(fault="", **options):
    layer = Loop(M, N, **options)
    layer.fault = fault
    return layer


def statuses(report):
    return {name: report.status(name) for name in PROMISES}


@pytest.mark.parametrize(
    "layer", [nn.LSTM(M, N), nn.GRU(M, N, batch_first=True), nn.RNN(M, N, bias=False, dtype=torch.float64)], ids=str
)
def test_layers_of_torch_hold_everything(layer):
    """They need neither cell nor mapping; the layer itself is as it was."""
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    report = lo.check_layer(layer)
    assert report and set(statuses(report).values()) == {"holds"}, report
    dtypes = dict.fromkeys(("float64", str(next(layer.parameters()).dtype).removeprefix("torch.")))
    assert list(report.bounds) == list(dtypes)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert all(value.grad is None for value in layer.parameters())


@pytest.mark.parametrize(("cell", "mapping"), [("no_peepholes", GATES), ("vanilla", PEEPHOLES)])
def test_a_loop_of_cells_holds(cell, mapping):
    """Stacked gates, two biases that are added up, peepholes that are not there."""
    report = lo.check_layer(made(), cell, mapping, call=call, shapes=[(4, 3)])
    assert report and set(statuses(report).values()) == {"holds"}, report


EVERY = set(PROMISES)
PADDED = {name for name in PROMISES if name.startswith("padding")}
TEXT = {name for name in PROMISES if name.startswith(("outputs", "final", "gradient"))}
GRADIENTS = {name for name in PROMISES if name.startswith("gradient")}
FAULTS = {
    "state ignored": (
        {"outputs", "final states", *GRADIENTS, "in two parts"}, {"outputs without a state", "causality", "rows of a batch"},
    ),
    "detached": (GRADIENTS, {"outputs", "final states", "rows of a batch", "causality", "padding: outputs"}),
    "leak between rows": ({"rows of a batch", *TEXT}, {"causality", "same call twice"}),
    "look-ahead": ({"causality", "in two parts", *TEXT}, {"rows of a batch", "same call twice"}),
    "state of the padded step": ({"padding: final states", "padding: gradients"}, EVERY - PADDED | {"padding: outputs"}),
    "padding is computed": ({"padding of NaN"}, EVERY - {"padding of NaN"}),
    "dropout": ({"same call twice", "outputs"}, set()),
    "single precision": ({"outputs", "final states"}, {"causality", "same call twice"}),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen_and_named(fault):
    """What the fault breaks is broken, what it leaves alone holds."""
    broken, whole = FAULTS[fault]
    report = lo.check_layer(made(fault), "no_peepholes", GATES, call=call, shapes=[(4, 3)])
    found = statuses(report)
    assert not report
    assert {name for name in broken if found[name] != "broken"} == set(), report
    assert {name for name in whole if found[name] != "holds"} == set(), report


def test_a_swapped_gate_is_no_leak():
    """Input and forget gate exchanged: the text is missed, everything else holds."""
    swapped = {key.replace(".i", ".?").replace(".f", ".i").replace(".?", ".f"): value for key, value in GATES.items()}
    found = statuses(lo.check_layer(made(), "no_peepholes", swapped, call=call, shapes=[(4, 3)]))
    assert {name for name, status in found.items() if status == "broken"} == TEXT


def test_a_parameter_that_the_mapping_forgets_is_seen():
    """The second bias moves the outputs, and the text has no place for it."""
    forgets = {**GATES, "b.i b.f b.z b.o": "bias_ih"}
    report = lo.check_layer(made(), "no_peepholes", forgets, call=call, shapes=[(2, 2)])
    assert report.status("gradient of parameters") == "broken"
    assert any("bias_hh" in each.what for each in report.findings.values())


def test_what_a_layer_does_not_do_is_not_offered():
    """Outputs alone, no states, no lengths, and float32 only: said in the table, and no fault."""

    class Bare(Loop):
        def forward(self, x):
            if x.dtype == torch.float64:
                raise RuntimeError("no kernel for float64\nsecond line")
            return super().forward(x)[0]

    report = lo.check_layer(Bare(M, N), "no_peepholes", GATES)
    found = statuses(report)
    absent = {"outputs", "final states", "gradient of initial states", "in two parts", *PADDED}
    assert report and {name for name, status in found.items() if status == "not offered"} == absent - {"outputs"}
    assert report.findings["outputs", "float32"].status == "not offered"  # from given states, of which there are none
    assert report.findings["outputs without a state", "float64"].what == "RuntimeError: no kernel for float64"
    text = str(report)
    assert "not offered in float64, RuntimeError: no kernel for float64\n" in text
    assert "not offered in float32, its call takes no lengths: padding: outputs; padding: final states" in text
    assert "outputs without a state     not offered      holds" in text
    assert "second line" not in text


def test_a_layer_that_offers_nothing_is_not_right():
    """No promise broken is not enough: outputs have to hold."""

    class Nothing(Loop):
        def forward(self, x):
            raise NotImplementedError("on no device")

    report = lo.check_layer(Nothing(M, N, dtype=torch.float64), "no_peepholes", GATES)
    assert not report and report.findings["causality", "float64"].what == "on no device"


def scan(parameters, x, state):
    """minLSTM over all frames at once, by an associative scan of y_t = a_t y_{t-1} + b_t; its outputs alone."""
    forget, enter, candidate = (x @ parameters["kernel"] + parameters["bias"]).chunk(3, -1)
    forget, enter = forget.sigmoid(), enter.sigmoid()
    a, b = forget / (forget + enter), enter / (forget + enter) * candidate
    step = 1
    while step < len(x):
        b = torch.cat([b[:step], b[step:] + a[step:] * b[:-step]])
        a = torch.cat([a[:step], a[step:] * a[:-step]])
        step *= 2
    return b if state is None else b + a * state["y"]


def test_a_function_with_parameters_in_another_layout():
    """A kernel [M, 3N] is turned; a function gets its parameters first."""
    parameters = {"kernel": torch.zeros(M, 3 * N), "bias": torch.zeros(3 * N)}
    mapping = {"W.f W.i W.h": ("kernel", torch.t), "b.f b.i b.h": "bias"}
    report = lo.check_layer(scan, "minlstm", mapping, parameters=parameters)
    found = statuses(report)
    assert report, report
    assert {name for name, status in found.items() if status == "not offered"} == {
        "final states",
        "in two parts",
        *PADDED,
    }
    assert not parameters["kernel"].any()


def test_a_mapping_may_be_a_function_of_all_parameters():
    """Transforms that no dict says; weights that are the layer's own."""

    def mapping(values):
        gates = "i f z o".split()
        found = {}
        for space, source in (("W", "weight_ih"), ("R", "weight_hh")):
            found |= {f"{space}.{gate}": part for gate, part in zip(gates, values[source].chunk(4), strict=True)}
        bias = values["bias_ih"] + values["bias_hh"]
        return found | {f"b.{gate}": part for gate, part in zip(gates, bias.chunk(4), strict=True)}

    assert lo.check_layer(made(), "no_peepholes", mapping, call=call, weights="own", shapes=[(3, 2)])


class Oscillator(nn.Module):
    """coRNN as its authors wrote it, with constants of its own: ε a buffer, γ and Δt numbers that are trained."""

    def __init__(self, wrong=0.0):
        super().__init__()
        self.i2h, self.h2h = nn.Linear(M + N, N), nn.Linear(N, N, bias=False)
        self.gamma, self.dt = nn.Parameter(torch.tensor(1.7)), nn.Parameter(torch.tensor([0.1]))
        self.register_buffer("epsilon", torch.tensor(3.1))
        self.wrong = wrong

    def forward(self, x, state=None):
        hy, hz = (x.new_zeros(x.shape[1], N),) * 2 if state is None else (value[0] for value in state)
        outputs = []
        for frame in x:
            force = torch.tanh(self.i2h(torch.cat([frame, hz], 1)) + self.h2h(hy))
            hz = hz + self.dt * (force - (self.gamma + self.wrong) * hy - self.epsilon * hz)
            hy = hy + self.dt * hz
            outputs.append(hy)
        return torch.stack(outputs), (hy, hz)


CONSTANTS = {"k.gamma": "gamma", "k.dt": "dt", "k.epsilon": "epsilon"}
CORNN = {
    "W.h": ("i2h.weight", lambda value: value[:, :M]),
    "R.z": ("i2h.weight", lambda value: value[:, M:]),
    "R.y": "h2h.weight",
    "b.h": "i2h.bias",
}


def test_a_mapping_sets_constants():
    """Buffers, numbers and parameters, whose gradients count too; without them the text has its defaults, another cell's."""
    given = {"weights": "own", "shapes": [(4, 3)]}
    report = lo.check_layer(Oscillator(), "cornn", {**CORNN, **CONSTANTS}, **given)
    assert report and report.status("gradient of parameters") == "holds", report
    numbers = {"k.gamma": 1.7, "k.dt": 0.1, "k.epsilon": 3.1}
    frozen = lo.check_layer(Oscillator(), "cornn", {**CORNN, **numbers}, **given)
    assert frozen.status("outputs") == "holds" and frozen.status("gradient of parameters") == "broken"
    found = [lo.check_layer(layer, "cornn", mapping, **given).status("outputs")
             for layer, mapping in ((Oscillator(), CORNN), (Oscillator(1e-3), {**CORNN, **CONSTANTS}))]  # fmt: skip
    assert found == ["broken", "broken"]


def test_a_constant_may_come_from_a_function():
    """A mapping that is a function may leave constants out, or give some."""

    def mapping(values):
        own = {"W.h": values["i2h.weight"][:, :M], "R.z": values["i2h.weight"][:, M:], "R.y": values["h2h.weight"]}
        return {**own, "b.h": values["i2h.bias"], **{f"k.{name}": values[name] for name in ("gamma", "dt", "epsilon")}}

    assert lo.check_layer(Oscillator(), "cornn", mapping, weights="own", shapes=[(3, 2)])


def test_bfloat16_is_held_to_its_own_tolerance():
    """A layer's own dtype has a bound of its own; in float64 the same layer is exact."""
    report = lo.check_layer(made(dtype=torch.bfloat16), "no_peepholes", GATES, call=call, shapes=[(2, 2)])
    assert list(report.bounds) == ["float64", "bfloat16"] and 0.03 < report.bounds["bfloat16"] < 0.05
    assert report, report


WRONG = [
    ((nn.LSTM(M, N, 2),), {}, "num_layers=2, bidirectional=False; expected one layer of one direction"),
    ((nn.Linear(M, N),), {}, "no mapping for Linear; expected one"),
    ((nn.LSTM(M, N), "vanilla"), {}, "LSTM as 'vanilla' without a mapping; expected 'no_peepholes'"),
    ((lambda x: x,), {}, "got function; expected a torch.nn.Module, or a function with parameters={...}"),
    ((made(), None, GATES), {}, "a mapping and no cell"),
    ((made(), "vanilla", GATES), {"call": call}, "the mapping lacks 'p.f'; expected all of W.z"),
    ((made(), "cifg", {**GATES}), {"call": call}, "the mapping has 'W.f'; expected some of W.z, W.i"),
    ((made(), "no_peepholes", {**GATES, "W.i": "weigth_ih"}), {"call": call}, "reads 'weigth_ih'; the layer has weight_ih"),
    ((made(), "no_peepholes", {**GATES, "W.i W.f W.z": "weight_ih"}), {"call": call}, "lie in 20 rows; expected a multiple"),
    ((made(), "no_peepholes", {**GATES, "W.i W.f W.z W.o": ("weight_ih", torch.t)}), {"call": call}, "lie in 3 rows"),
    ((made(), "no_peepholes", GATES), {"call": lambda layer: layer}, "the call takes 1 arguments"),
    ((made(), "no_peepholes", GATES), {"call": lambda layer, x: (x, x, x)}, "returned tuple; expected outputs"),
    ((made(), "no_peepholes", GATES), {"call": lambda layer, x: x}, "returned (2, 2, 3); expected outputs [T, B, N] = (2"),
    ((Oscillator(), "cornn", {**CORNN, "k.gama": 1.7}), {}, "the mapping has 'k.gama'; expected some of k.gamma"),
    ((Oscillator(), "cornn", {**CORNN, "k.gamma": 0}), {}, "'k.gamma' is 0 by the mapping; expected a number from 0.1 to 100"),
    ((Oscillator(), "cornn", {**CORNN, "k.gamma": "i2h.bias"}), {}, "'k.gamma' is (5,) by the mapping; expected one number"),
    ((Oscillator(), "cornn", lambda values: {"k.gama": values["dt"]}), {}, "of constants k.gamma"),
    ((Oscillator(), "cornn", {**CORNN, **CONSTANTS}), {}, "checked with weights='own'"),
    ((nn.LSTM(M, N), "no_peepholes", {"W.i W.f W.z W.o": "weight_hh_l0", "R.i R.f R.z R.o": "weight_hh_l0",
                                      "b.i b.f b.z b.o": "bias_ih_l0"}), {},
     "M is 5 by the mapping; expected 3, the layer's input_size"),
    ((made(), "no_peepholes", {**GATES, "b.i b.f b.z b.o": ["bias_ih", "weight_ih"]}), {"call": call},
     "is mapped to 'bias_ih' (20,), 'weight_ih' (20, 3): got RuntimeError"),
    ((made(), "no_peepholes", GATES), {"call": lambda layer, x: None}, "the layer returned NoneType; expected outputs"),
    ((made(), "no_peepholes", GATES), {"call": lambda layer, x: (x.new_zeros(2, 2, N), 3)}, "returned a int as final states"),
    ((made(), "no_peepholes", GATES), {"call": lambda layer, x: (x.new_zeros(2, 2, N), [x])}, "the state 'y' as (2, 2, 3)"),
    ((type("Silent", (nn.LSTM,), {"forward": lambda self, x, hx=None: None})(M, N),), {},
     "returned NoneType; expected outputs"),
    ((nn.RNN(M, N, nonlinearity="relu"),), {}, "check_layer: torch.nn.RNN has nonlinearity='relu'; expected 'tanh'"),
    ((nn.LSTM(M, N, proj_size=2),), {}, "check_layer: torch.nn.LSTM has proj_size=2; expected 0"),
    ((lo.RNN("cifg", M, [3, 4]),), {}, "bidirectional=False, hidden_size=[3, 4]; expected one layer"),
    ((lo.RNN("cifg", M, N, bidirectional=True),), {}, "num_layers=1, bidirectional=True; expected one layer"),
    ((nn.GRU(M, N),), {"weights": "mine"}, "weights is 'mine'; expected 'drawn' or 'own'"),
    ((nn.GRU(M, N),), {"shapes": [(1, 2)]}, "expected pairs of T, 2 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "options", "message"), WRONG, ids=[message[:20] for *_, message in WRONG])
def test_what_cannot_be_checked_is_said(given, options, message):
    """One sentence: subject, got, expected."""
    with pytest.raises(LayerError) as caught:
        lo.check_layer(*given, **options)
    assert message in str(caught.value)


class Scaled(nn.LSTM):
    """torch's LSTM made wrong by what is done to its outputs or its input; it takes a tensor alone."""

    how = ""

    def forward(self, x, hx=None):
        if self.how == "leak":
            x = x + 1e-3 * x.mean(1, keepdim=True)
        if self.how == "dropout":
            x = nn.functional.dropout(x, 0.2)
        if self.how == "in place":
            x.mul_(2.0)
        y, h = super().forward(x, hx)
        if self.how == "in place later":
            y.mul_(1.0)
            x.add_(1.0)
        return {"scaled": lambda: y * 1.01, "nan": lambda: y * float("nan"), "detached": y.detach}.get(
            self.how, lambda: y
        )(), h


SCALED = {
    "scaled": (
        {"outputs", "outputs without a state", "gradient of x"},
        {"final states", "rows of a batch", "causality"},
    ),
    "leak": ({"rows of a batch", "outputs", "final states"}, {"causality", "same call twice", "arguments unchanged"}),
    "dropout": ({"same call twice", "outputs"}, {"arguments unchanged"}),
    "nan": ({"outputs"}, {"final states"}),
    "detached": ({"gradient of x", "gradient of parameters"}, {"outputs", "final states", "causality"}),
    "in place": (
        {"arguments unchanged", "outputs", "final states"},
        {"rows of a batch", "causality", "same call twice"},
    ),
}


@pytest.mark.parametrize("how", SCALED)
def test_a_wrong_layer_made_of_torchs_has_a_table(how):
    """What it does to a tensor it cannot do to a PackedSequence: lengths are not offered, and the row says so."""
    layer = Scaled(M, N)
    layer.how = how
    report = lo.check_layer(layer, shapes=[(4, 3)])
    found, (broken, whole) = statuses(report), SCALED[how]
    assert not report
    assert {name for name in broken if found[name] != "broken"} == set(), report
    assert {name for name in whole if found[name] != "holds"} == set(), report
    assert {found[name] for name in PADDED} == {"not offered"}, report
    assert "not offered, lengths are a PackedSequence, of which it raised " in str(report)


def test_what_a_layer_raises_is_a_row_of_the_table():
    """In its own dtype it breaks what was asked, the rest is asked all the same; the table says how the layer was called."""

    class Breaks(Loop):
        def forward(self, x, state=None, lengths=None):
            if self.fault != "padded" or lengths is not None:
                raise KeyError("theirs")
            return super().forward(x, state)

    every = lo.check_layer(Breaks(M, N), "no_peepholes", GATES, shapes=[(2, 2)])
    found = statuses(every)
    assert not every and {found[name] for name in EVERY - PADDED} == {"broken"}
    assert "outputs without a state     not offered      raised\n" in str(every)
    assert "not offered in float64, KeyError: 'theirs'\n" in str(every)
    assert "\nbroken in float32, raised KeyError: 'theirs': outputs; outputs without a state; final states; " in str(
        every
    )
    assert str(every).endswith(
        "called as layer(x, states), x [T, B, M] with M = 3: if it is called otherwise, pass call="
    )
    layer = Breaks(M, N)
    layer.fault = "padded"
    padded = lo.check_layer(layer, "no_peepholes", GATES, call=call, shapes=[(2, 2)])
    assert not padded and {name for name, status in statuses(padded).items() if status == "broken"} == PADDED
    assert {name for name, status in statuses(padded).items() if status == "holds"} == EVERY - PADDED
    assert padded.findings["padding: outputs", "float64"].status == "not offered" and "called as" not in str(padded)


def test_a_layer_that_cannot_be_differentiated_has_outputs():
    """What is raised backwards is the gradients' row, not the outputs'."""

    class Late(nn.LSTM):
        def forward(self, x, hx=None):
            y, h = super().forward(x, hx)
            z = y.exp()
            kept = z.log()
            z.add_(1.0)  # which the derivative of log needs as it was
            return kept, h

    report = lo.check_layer(Late(M, N), shapes=[(4, 3)])
    found = statuses(report)
    assert found["outputs"] == found["final states"] == found["arguments unchanged"] == "holds", report
    assert {name for name, status in found.items() if status == "broken"} >= {*GRADIENTS, "rows of a batch"}
    assert (
        "raised RuntimeError: one of the variables needed for gradient"
        in report.findings["gradient of x", "float32"].what
    )


def test_an_argument_that_is_written_to_is_seen():
    """Right in every number, and the caller's input is another afterwards."""

    class Takes(nn.LSTM):
        def forward(self, x, hx=None):
            found = super().forward(x.clone(), hx)
            x.zero_()
            return found

    report = lo.check_layer(Takes(M, N), shapes=[(4, 3)])
    assert {name for name, status in statuses(report).items() if status == "broken"} == {"arguments unchanged"}, report
    assert "x itself" in report.findings["arguments unchanged", "float32"].what


def test_what_is_returned_of_lengths_is_a_row_too():
    """A call that fits and whose outputs are shorter where there is padding: broken, and the rest is asked."""

    def short(layer, x, state, lengths):
        y, final = layer(x, state, lengths)
        return (y if lengths is None else y[:1]), final

    report = lo.check_layer(made(), "no_peepholes", GATES, call=short, shapes=[(4, 3)])
    assert {name for name, status in statuses(report).items() if status == "broken"} == PADDED, report
    assert report.findings["padding: outputs", "float32"].what.startswith(
        "returned (1, 3, 5); expected outputs [T, B, N] = "
    )
    assert "padding: outputs            returned" in str(report)


def test_a_step_in_place_of_a_layer_is_told_of_call():
    """torch's cells compute one frame."""
    text = str(lo.check_layer(nn.LSTMCell(M, N), "no_peepholes", GATES, shapes=[(2, 2)]))
    assert "raised " in text and text.endswith("if it is called otherwise, pass call=")


EAGER = {"backend": "eager", "dtype": torch.float64}
OURS = {
    "no_peepholes": lambda: lo.from_torch(nn.LSTM(M, N, dtype=torch.float64)),
    "gru_reset_after": lambda: lo.from_torch(nn.GRU(M, N, batch_first=True, bias=False, dtype=torch.float64), "eager"),
    "vanilla": lambda: lo.RNN("vanilla", M, N, batch_first=True, bias=False, **EAGER),
    "cornn": lambda: lo.RNN("cornn", M, N, constants={"gamma": 2.0}, **EAGER),
}


@pytest.mark.parametrize("cell", OURS)
def test_layers_of_ours_need_no_mapping(cell):
    """Swapped in for torch's, or made by name; the cell may be said, and another is refused."""
    layer = OURS[cell]()
    report = lo.check_layer(layer, cell, shapes=[(3, 2)])
    assert report and set(statuses(report).values()) == {"holds"}, report
    with pytest.raises(LayerError, match=f"without a mapping; expected '{cell}'"):
        lo.check_layer(layer, "nig")
