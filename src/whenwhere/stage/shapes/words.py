"""The closed vocabulary of the world of shapes, and how a noun phrase is made of it.

Words are short and few, so that a policy with a million parameters can have one token for each. Sentences have no
punctuation, are all lower case, and have one space between words.
"""

#: RGB of each colour.
SHAPE_COLOURS = {
    "red": (230, 40, 40),
    "green": (40, 190, 60),
    "blue": (60, 90, 245),
    "yellow": (235, 220, 50),
    "purple": (165, 60, 210),
    "orange": (245, 140, 30),
    "cyan": (60, 215, 225),
    "white": (240, 240, 240),
}
SHAPES = ("square", "circle", "triangle", "diamond", "cross", "ring")
SHAPE_TEXTURES = ("plain", "striped", "dotted", "checked")
#: What a shape can do. All of it can be seen at two frames per second.
SHAPE_VERBS = (
    "moves left",
    "moves right",
    "moves up",
    "moves down",
    "grows",
    "shrinks",
    "blinks",
    "turns grey",
)
#: Where a shape is, relative to the bar.
SHAPE_SIDES = ("left of", "right of", "above", "below")
ORDERS = ("first", "second", "third", "last")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_GRAMMAR = ("the bar of and then is are there no yes what which how many do does when while after before",
            "colour shape shapes it a not appears or")  # fmt: skip


def _closed() -> tuple[str, ...]:
    phrases = (*SHAPE_COLOURS, *SHAPES, *SHAPE_TEXTURES, *SHAPE_VERBS, *SHAPE_SIDES, *ORDERS, *NUMBERS, *_GRAMMAR)
    return tuple(dict.fromkeys(word for phrase in phrases for word in phrase.split()))


#: Every word that a sentence, caption, question or answer of this world can contain.
SHAPES_WORDS = _closed()

#: The same with the words that only captions and questions for pre-training have; a policy does not need those.
CORPUS_WORDS = (*SHAPES_WORDS, "that", "with", "happens", "acts")


def noun(colour: int, shape: int, texture: int | None = None) -> str:
    """The noun phrase of a shape.

    Args:
        colour: Index into `SHAPE_COLOURS`.
        shape: Index into `SHAPES`.
        texture: Index into `SHAPE_TEXTURES`. None leaves the texture unsaid.

    >>> noun(0, 1), noun(0, 1, 2)
    ('the red circle', 'the dotted red circle')
    """
    said = f"{SHAPE_TEXTURES[texture]} " if texture is not None else ""
    return f"the {said}{tuple(SHAPE_COLOURS)[colour]} {SHAPES[shape]}"
