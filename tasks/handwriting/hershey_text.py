"""What the synthetic hand writes: words of ten languages, pangrams, names, numbers and signs; all 81 characters.

Draws are made of the raw bits of a PCG64, by exact arithmetic: the same on every machine and with every numpy. The words
are everyday ones of languages that need no accents, or that lose little without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

LANGUAGES = tuple(
    text.split()
    for text in (
        (
            "the morning light over water people walked along old stone bridge while children played near quiet "
            "harbour and nobody knew which journey would begin before winter evening came with strong wind"
        ),
        (
            "der Abend kommt ohne Regen durch kleine Gassen geht ein Mann mit Hund und Buch unter Linden wartet jemand "
            "auf das letzte Schiff nach Norden wo im Herbst die Felder ganz still sind"
        ),
        (
            "la casa blanca mira hacia el mar donde los barcos vuelven cada tarde con peces y sal mientras las nubes "
            "pasan sobre un pueblo que duerme bajo luz de luna grande"
        ),
        (
            "il vento porta foglie sulla strada verso il mercato dove le donne vendono pane olio e frutta mentre una "
            "voce canta di notte sotto finestre aperte nel quartiere vecchio"
        ),
        (
            "le soir tombe sur la ville et dans chaque maison une lampe brille pendant que les enfants cherchent leur "
            "chat noir derriere le jardin de ma grand tante"
        ),
        (
            "arma virum cano sed omnia tempus habent et nunc silva viridis ad flumen longum ducit quo puer cum equo "
            "ambulat sine metu per aquam claram usque in vesperum"
        ),
        (
            "de molen draait langzaam boven het vlakke land waar koeien grazen en een jongen zijn fiets tegen de brug "
            "zet om naar de lichte wolken van morgen te kijken"
        ),
        (
            "rumah kecil itu berdiri di tepi sungai dan setiap pagi anak desa pergi ke pasar membawa ikan segar serta "
            "buah kelapa untuk dijual kepada orang kota"
        ),
        (
            "watu wengi walikuja sokoni asubuhi kununua matunda na samaki wakati jua likipanda juu ya bahari na upepo "
            "mzuri ukivuma kutoka kaskazini hadi usiku"
        ),
        (
            "talvi tuli hiljaa ja lumi peitti vanhan kylan tiet kun kalamies palasi kotiin veneelle jai vain lyhty "
            "joka valaisi rantaa koko pitkan illan"
        ),
    )
)
PANGRAMS = tuple(
    text.split()
    for text in (
        "the quick brown fox jumps over a lazy dog",
        "pack my box with five dozen liquor jugs",
        "sphinx of black quartz, judge my vow",
        "zwei Boxer jagen Eva quer durch Sylt",
        "quel vituperabile xenofobo zelante assaggia whisky",
        "portez ce vieux whisky au juge blond qui fume",
    )
)
NAMES = (
    "Agnes Boris Carla Dmitri Eliza Farid Greta Hugo Ines Jakob Kofi Lena Milo Nadia Oskar Petra Quentin Rosa Samir Tove "
    "Ulla Viktor Wanda Xenia Yusuf Zora"
).split()
SHORT = ("don't", "it's", "O'Neil", "well-known", "half-way", "and/or", "Q&A", "R&B", "e.g.", "i.e.", "No.", "P.S.")
NUMBERS = ("00/00/0000", "00:00", "(000) 000-0000", "+00 000 0000", "#000", "0 + 00 * 0", "[00]", "0,000.00")
"""Forms of numbers; each 0 becomes a digit."""
ORDER = "7hQ[Xm3&zK;aF!5rW)2jG?qB+8(nV/Ye'4P#cU*xLd\"Zs9:Ho0.bM]1iTk,6-wCfENvlAgRuSDpJyIOt"
"""The characters but for the space, in an order of no meaning; signs of five of them go through it round and round."""

LEAST, MOST = 22, 35


class Draws:
    """Random numbers from the raw bits of a PCG64 that is seeded with a few whole numbers."""

    def __init__(self, *key: int) -> None:
        self._raw = np.random.PCG64(key).random_raw

    def uniform(self, count: int) -> NDArray[np.float64]:
        """``count`` numbers in [0, 1), multiples of 2^-53."""
        bits: NDArray[np.uint64] = self._raw(count)
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def bell(self, count: int) -> NDArray[np.float64]:
        """``count`` numbers of mean 0 and variance 1, like normal ones: sums of four uniform ones."""
        four = self.uniform(4 * count).reshape(4, count)
        numbers: NDArray[np.float64] = ((four[0] + four[1]) + (four[2] + four[3]) - 2) * 1.7320508075688772
        return numbers

    def between(self, low: float, high: float) -> float:
        """One number in [low, high)."""
        return low + (high - low) * float(self.uniform(1)[0])

    def below(self, limit: int) -> int:
        """A whole number from 0 to limit - 1."""
        return int(self._raw()) * limit >> 64

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]


def signs(number: int) -> str:
    """The five characters that `ORDER` has from place 5 ``number`` on: 16 numbers in a row show all of them.

    Example:
        >>> signs(0), signs(16) == signs(0)
        ('7hQ[X', True)
    """
    return "".join(ORDER[(5 * number + place) % len(ORDER)] for place in range(5))


def _words(draws: Draws) -> list[str]:
    words = draws.pick(LANGUAGES)
    found = [draws.pick(words) for _ in range(3 + draws.below(3))]
    ending = draws.pick((".", ".", ",", ";", "!", "?", ":"))
    return [found[0].capitalize(), *found[1:-1], found[-1] + ending]


def _pangram(draws: Draws) -> list[str]:
    words = draws.pick(PANGRAMS)
    start = draws.below(len(words))
    return [*words[start:], *words[:start]][: 2 + draws.below(2)]


def _number(draws: Draws) -> list[str]:
    form = draws.pick(NUMBERS)
    return "".join(str(draws.below(10)) if sign == "0" else sign for sign in form).split()


def _name(draws: Draws) -> list[str]:
    initial = chr(ord("A") + draws.below(26))
    return draws.pick(
        (
            [draws.pick(NAMES), f"{initial}."],
            [f'"{draws.pick(NAMES)}"', "&", draws.pick(NAMES)],
            [f"({draws.pick(NAMES)}", f"{draws.pick(NAMES)})"],
            [draws.pick(SHORT), draws.pick(NAMES)],
        )
    )


def text(draws: Draws, number: int) -> str:
    """A line of 22 characters and more; every second one, by ``number``, has five signs of the order among its words."""
    kinds = (_words, _words, _words, _pangram, _number, _name)
    length = LEAST + draws.below(MOST - LEAST)
    found = [signs(number // 2)] if number % 2 == 0 else []
    while len(" ".join(found)) < length:
        for word in draws.pick(kinds)(draws):
            if len(" ".join(found)) < length:
                found.append(word)
    if number % 4 == 0:  # not always at the beginning
        found = [*found[1:], found[0]]
    return " ".join(found)
