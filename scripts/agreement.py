"""Prompts whose verb must agree with one of two nouns, written for this project: 16 pairs of nouns, 64 prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

_PAIRS = (  # subject, what joins the two, the other noun; singular and plural of each
    (("key", "keys"), "to", ("cabinet", "cabinets")),
    (("author", "authors"), "near", ("senator", "senators")),
    (("label", "labels"), "on", ("bottle", "bottles")),
    (("picture", "pictures"), "of", ("house", "houses")),
    (("report", "reports"), "about", ("manager", "managers")),
    (("book", "books"), "beside", ("lamp", "lamps")),
    (("letter", "letters"), "from", ("teacher", "teachers")),
    (("door", "doors"), "behind", ("car", "cars")),
    (("road", "roads"), "to", ("village", "villages")),
    (("song", "songs"), "by", ("singer", "singers")),
    (("gift", "gifts"), "for", ("child", "children")),
    (("window", "windows"), "above", ("desk", "desks")),
    (("tree", "trees"), "near", ("river", "rivers")),
    (("ship", "ships"), "beside", ("bridge", "bridges")),
    (("idea", "ideas"), "behind", ("project", "projects")),
    (("story", "stories"), "about", ("king", "kings")),
)
VERBS = (" is", " are")


@dataclass(frozen=True)
class Prompt:
    """One prompt, such as "The keys to the cabinet", whose verb is "are" and not "is".

    Attributes:
        pair: number of its pair of nouns.
        plural: whether the subject is.
        other_plural: whether the other noun is.
    """

    pair: int
    plural: bool
    other_plural: bool

    @property
    def subject(self) -> str:
        """The noun that the verb agrees with."""
        return _PAIRS[self.pair][0][self.plural]

    @property
    def other(self) -> str:
        """The noun beside it."""
        return _PAIRS[self.pair][2][self.other_plural]

    @property
    def text(self) -> str:
        """What the model reads."""
        return f"The {self.subject} {_PAIRS[self.pair][1]} the {self.other}"

    @property
    def verbs(self) -> tuple[str, str]:
        """The verb that agrees, and the one that does not."""
        return VERBS[self.plural], VERBS[not self.plural]

    def flipped(self) -> tuple[Prompt, Prompt]:
        """With the subject in the other number, and with the other noun in the other number."""
        return replace(self, plural=not self.plural), replace(self, other_plural=not self.other_plural)


# Ordered so that the first prompts are of different pairs and kinds.
PROMPTS = tuple(
    Prompt(pair, bool((kind + pair) // 2 % 2), bool((kind + pair) % 2)) for kind, pair in product(range(4), range(16))
)
