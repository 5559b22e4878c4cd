"""CTC of a compiled training step: loss and gradient of one sequence, as source. What CTC is: ``tasks.objectives.ctc``.

The U labels z and the U + 1 blanks round them are states of their own arrays, so that every inner loop is one of plain
vectors. With p the softmax of a frame, all in float64, and s_u = 1 where label u differs from the one before it, else 0:

    b_t[u] = (b_{t-1}[u] + l_{t-1}[u-1]) p_t(blank)                      before the first frame b[0] = 1, the rest 0
    l_t[u] = (l_{t-1}[u] + b_{t-1}[u] + s_u l_{t-1}[u-1]) p_t(z_u)
    c_t    = Σ b_t + Σ l_t                                               b and l are divided by it before the next frame
    loss   = -Σ_{t<T} ln c_t - ln (b_T[U] + l_T[U-1])
    dloss/dlogits_tk = p_t(k) - Σ_{states of k} occupancy                occupancy ∝ forward x backward, of sum 1 a frame

The backward pass is the same recursion from the end, with normalisers d_t of its own. A number below the least normal one,
2e-308, is lost, and may be lost where it would have mattered later. What is lost at a frame is less than 2e-308 / (c d x)
of the likelihood, with x the sum over the states of forward times backward, each divided by its normaliser. Where c d x is
below ``LEAST``, and so where a normaliser is, the sequence is done again in logarithms.

Source: Graves et al., ICML 2006, section 4; Rabiner, Proc. IEEE 77, 1989, section V.A.
"""

from __future__ import annotations

from lstm_odyssey.backends.processor import vector_bytes

LEAST = 1e-250


def memory(frames: int, labels: int, outputs: int) -> int:
    """How many float64 numbers a sequence needs: of T frames, U labels at most, K outputs; see ``places`` in the text."""
    lanes = vector_bytes() // 8

    def whole(count: int) -> int:
        return (count // lanes + 1) * lanes

    wide, lines = whole(labels), whole(frames)
    return whole(outputs) + 3 * lines + 5 * wide + 4 * lanes + (3 * frames + 2) * wide


TEXT = f"""
LEAST, WIDTH = {LEAST!r}, {vector_bytes() // 8}


@njit(error_model="numpy")
def whole(count):
    return (count // WIDTH + 1) * WIDTH


@njit(error_model="numpy")
def places(memory, frames, count, outputs):
    \"\"\"Addresses, each of so many vectors of float64. A line of labels or blanks has a 0 at its end, at least one.\"\"\"
    wide, lines = whole(count) * 8, whole(frames) * 8
    row = memory                              # probabilities of a frame; the number behind them stays 0
    blank = row + whole(outputs) * 8          # of the blank, for each frame
    tops = blank + lines                      # greatest logit
    shares = tops + lines                     # 1 / the sum of exponentials
    offsets = shares + lines                  # in a row, of each label: integers
    skips = offsets + wide                    # s
    occupied = skips + wide + WIDTH * 8       # of the labels in a frame
    back_b = occupied + wide                  # backward, blanks
    back_l = back_b + wide + WIDTH * 8        # and labels
    chances = back_l + wide + WIDTH * 8       # of the labels, for each frame
    ahead_b = chances + frames * wide         # forward, blanks, from before the first frame on
    ahead_l = ahead_b + (frames + 1) * wide + WIDTH * 8
    return wide, row, blank, tops, shares, offsets, skips, occupied, back_b, back_l, chances, ahead_b, ahead_l


@njit(error_model="numpy")
def fill_all(to, count, value):
    for k in range(0, count, WIDTH):
        store(to + k * 8, fill8(value), first8(WIDTH))


@njit(error_model="numpy")
def fill_gradient(gradient, frames, outputs, line, value):
    for t in range(frames):
        for k in range(0, outputs, WIDTH):
            narrowed(gradient + t * line + k * SIZE, fill8(value), first8(outputs - k))


@njit(error_model="numpy")
def softmax(logits, outputs, row, gradient):
    \"\"\"Probabilities of a frame, to its row and its gradient; the greatest logit, and 1 / the sum, NaN if a logit is.\"\"\"
    keep = first8(outputs)
    tops = only(keep, widened(logits, keep), -inf)
    for k in range(WIDTH, outputs, WIDTH):
        keep = first8(outputs - k)
        tops = maximum8(tops, only(keep, widened(logits + k * SIZE, keep), -inf))
    top = greatest(tops)
    sums = fill8(0.0)
    for k in range(0, outputs, WIDTH):
        keep = first8(outputs - k)
        e = exp8(widened(logits + k * SIZE, keep) - top)
        store(row + k * 8, e, keep)
        sums = sums + only(keep, e, 0.0)
    share = 1.0 / total(sums)
    for k in range(0, outputs, WIDTH):
        keep = first8(outputs - k)
        p = load8(row + k * 8, keep) * share
        store(row + k * 8, p, keep)
        narrowed(gradient + k * SIZE, p, keep)
    return top, share


@njit(error_model="numpy")
def forward_scaled(frames, wide, count, blank, chances, skips, ahead_b, ahead_l):
    \"\"\"The loss; NaN where a normaliser is below ``LEAST``.\"\"\"
    every = first8(WIDTH)
    loss, product, scale = 0.0, 1.0, 1.0
    for t in range(frames):
        p = read8(blank + t * 8) * scale
        sums = fill8(0.0)
        for at in range(0, wide, WIDTH * 8):
            b, l, left = load8(ahead_b + at, every), load8(ahead_l + at, every), load8(ahead_l + at - 8, every)
            to_b = (b + left) * p
            to_l = (l + b + load8(skips + at, every) * left) * (load8(chances + at, every) * scale)
            store(ahead_b + wide + at, to_b, every)
            store(ahead_l + wide + at, to_l, every)
            sums = sums + (to_b + to_l)
        c = total(sums)
        if not c >= LEAST:
            return nan
        scale = 1.0 / c
        if t < frames - 1:
            product *= c
            if product < 1e-50:
                loss -= logarithm(product)
                product = 1.0
        chances += wide
        ahead_b += wide
        ahead_l += wide
    return loss - logarithm(product) - logarithm(read8(ahead_b + count * 8) + read8(ahead_l + count * 8 - 8))


@njit(error_model="numpy")
def label_gradient(labels, count, offsets, row, chances, occupied, share, gradient):
    \"\"\"p - occupancy of the labels of a frame, some of which may be the same.\"\"\"
    for u in range(count):
        write8(row + entry(offsets, u), read8(chances + u * 8))
    for u in range(count):
        at = row + entry(offsets, u)
        write8(at, read8(at) - read8(occupied + u * 8) * share)
    for u in range(count):
        write(gradient + entry(labels, u) * SIZE, read8(row + entry(offsets, u)))


@njit(error_model="numpy")
def backward_scaled(labels, frames, wide, count, row, blank, offsets, skips, occupied, back_b, back_l, chances, ahead_b,
                    ahead_l, gradient, line):
    \"\"\"The gradient; whether no number that was lost can have mattered.\"\"\"
    every = first8(WIDTH)
    d = scale = 1.0
    for t in range(frames - 1, -1, -1):
        probabilities, b_line, l_line = chances + t * wide, ahead_b + (t + 1) * wide, ahead_l + (t + 1) * wide
        p = read8(blank + t * 8)
        blanks, others, sums = fill8(0.0), fill8(0.0), fill8(0.0)
        for at in range(0, wide, WIDTH * 8):
            b, l = load8(back_b + at, every), load8(back_l + at, every)
            next_b, next_l = load8(back_b + at + 8, every), load8(back_l + at + 8, every)
            of_b = (b + l) * scale
            of_l = (l + next_b + load8(skips + at + 8, every) * next_l) * scale
            x = load8(l_line + at, every) * of_l
            store(occupied + at, x, every)
            others = others + x
            blanks = blanks + load8(b_line + at, every) * of_b
            of_b, of_l = of_b * p, of_l * load8(probabilities + at, every)
            store(back_b + at, of_b, every)
            store(back_l + at, of_l, every)
            sums = sums + (of_b + of_l)
        x_b = total(blanks)
        x = x_b + total(others)
        if not x * d >= LEAST:
            return False
        d = total(sums)
        scale = 1.0 / d
        write(gradient + t * line, p - x_b / x)
        label_gradient(labels, count, offsets, row, probabilities, occupied, 1.0 / x, gradient + t * line)
    return True


@njit(error_model="numpy")
def log_sum(a, b):
    top = max(a, b)
    return top + logarithm(1.0 + exponential(min(a, b) - top)) if top > -inf else top


@njit(error_model="numpy")
def in_logarithms(logits, labels, frames, wide, count, row, blank, tops, shares, offsets, skips, occupied, back_b, back_l,
                  chances, ahead_b, ahead_l, gradient, line):
    \"\"\"Loss and gradient, number by number; infinite and 0 where there is no path.\"\"\"
    fill_all(ahead_b, count + 1, -inf)
    fill_all(ahead_l - WIDTH * 8, count + 1 + WIDTH, -inf)
    write8(ahead_b, 0.0)
    for t in range(frames):
        norm = read8(tops + t * 8) - logarithm(read8(shares + t * 8))
        b_line, l_line, at = ahead_b + t * wide, ahead_l + t * wide, logits + t * line
        for u in range(count + 1):
            b, left = read8(b_line + u * 8), read8(l_line + u * 8 - 8) if u else -inf
            write8(b_line + wide + u * 8, log_sum(b, left) + (float(read(at)) - norm))
            if u < count:
                l = log_sum(log_sum(read8(l_line + u * 8), b), left if read8(skips + u * 8) else -inf)
                write8(l_line + wide + u * 8, l + (float(read(at + entry(labels, u) * SIZE)) - norm))
    last = frames * wide + count * 8
    loss = -log_sum(read8(ahead_b + last), read8(ahead_l + last - 8) if count else -inf)
    if loss == inf:
        return loss
    fill_all(back_b, count + 2, -inf)
    fill_all(back_l, count + 2, -inf)
    write8(back_b + count * 8, 0.0)
    for t in range(frames - 1, -1, -1):
        norm = read8(tops + t * 8) - logarithm(read8(shares + t * 8))
        b_line, l_line, at, top = ahead_b + (t + 1) * wide, ahead_l + (t + 1) * wide, logits + t * line, -inf
        for u in range(count + 1):
            b, l = read8(back_b + u * 8), read8(back_l + u * 8)
            if u < count:
                of_l = log_sum(l, read8(back_b + u * 8 + 8))
                if read8(skips + u * 8 + 8):
                    of_l = log_sum(of_l, read8(back_l + u * 8 + 8))
                x = read8(l_line + u * 8) + of_l
                top = max(top, x)
                write8(occupied + u * 8, x)
                write8(back_l + u * 8, of_l + (float(read(at + entry(labels, u) * SIZE)) - norm))
            of_b = log_sum(b, l)
            x = read8(b_line + u * 8) + of_b
            top = max(top, x)
            write8(b_line + u * 8, x)
            write8(back_b + u * 8, of_b + (float(read(at)) - norm))
        x_b = x_l = 0.0
        for u in range(count + 1):
            x_b += exponential(read8(b_line + u * 8) - top)
            if u < count:
                x = exponential(read8(occupied + u * 8) - top)
                write8(occupied + u * 8, x)
                x_l += x
        write(gradient + t * line, read8(blank + t * 8) - x_b / (x_b + x_l))
        label_gradient(labels, count, offsets, row, chances + t * wide, occupied, 1.0 / (x_b + x_l), gradient + t * line)
    return loss


@njit(error_model="numpy")
def sequence_loss(logits, labels, longest, frames, outputs, line, gradient, memory):
    count = needed = 0
    known = True
    while count < longest and entry(labels, count) != 0:
        label = entry(labels, count)
        known = known and 0 < label < outputs
        needed += 2 if count and label == entry(labels, count - 1) else 1
        count += 1
    if not known:
        fill_gradient(gradient, frames, outputs, line, nan)
        return nan
    wide, row, blank, tops, shares, offsets, skips, occupied, back_b, back_l, chances, ahead_b, ahead_l = places(
        memory, frames, count, outputs)
    fill_all(row, whole(outputs), 0.0)
    fill_all(skips, whole(count) + WIDTH, 0.0)
    for u in range(whole(count)):
        label = entry(labels, u) if u < count else outputs
        write_entry(offsets, u, label * 8)
        if 0 < u < count and label != entry(labels, u - 1):
            write8(skips + u * 8, 1.0)
    sound = 0.0
    for t in range(frames):
        top, share = softmax(logits + t * line, outputs, row, gradient + t * line)
        sound += share
        write8(tops + t * 8, top)
        write8(shares + t * 8, share)
        write8(blank + t * 8, read8(row))
        for u in range(whole(count)):
            write8(chances + t * wide + u * 8, read8(row + entry(offsets, u)))
    if sound != sound:
        fill_gradient(gradient, frames, outputs, line, nan)
        return nan
    loss = inf
    if needed <= frames:
        fill_all(ahead_b, whole(count), 0.0)
        fill_all(ahead_l - WIDTH * 8, whole(count) + WIDTH, 0.0)
        write8(ahead_b, 1.0)
        fill_all(back_b, whole(count) + WIDTH, 0.0)
        fill_all(back_l, whole(count) + WIDTH, 0.0)
        write8(back_b + count * 8, 1.0)
        loss = forward_scaled(frames, wide, count, blank, chances, skips, ahead_b, ahead_l)
        if loss != loss or not backward_scaled(labels, frames, wide, count, row, blank, offsets, skips, occupied, back_b,
                                               back_l, chances, ahead_b, ahead_l, gradient, line):
            loss = in_logarithms(logits, labels, frames, wide, count, row, blank, tops, shares, offsets, skips, occupied,
                                 back_b, back_l, chances, ahead_b, ahead_l, gradient, line)
    if loss == inf:
        fill_gradient(gradient, frames, outputs, line, 0.0)
    return 0.0 if loss < 0.0 else loss
"""
