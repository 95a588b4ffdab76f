"""Chats: messages as the prompt that a tokenizer's template makes of them, and where their words stand in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from udig_lab.model.segments import Span


class Prompt(str):
    """A text that holds its special tokens already."""

    __slots__ = ()


def is_chat(text: Any) -> bool:
    """Whether a text is a list of messages, each with its role."""
    return isinstance(text, (list, tuple)) and bool(text) and all(isinstance(m, Mapping) and "role" in m for m in text)


def rendered(chat: Any, tokenizer: Any) -> tuple[Prompt, list[Span]]:
    """Messages as the text that the tokenizer's template makes of them, up to where the answer begins.

    Returns:
        the text, and where each message stands in it; its name is its role, with a number where a role speaks twice.

    Raises:
        ValueError: a message says nothing, the tokenizer has no template, it refuses the messages or changes them.
    """
    for number, message in enumerate(chat):
        content = message.get("content")
        if not isinstance(content, (str, list)) and not (content is None and message.get("tool_calls")):
            raise ValueError(f"message {number} of a chat has the content {content!r}; pass its text")
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError("this tokenizer has no chat template; pass the prompt as one text")
    prompt = _applied(chat, tokenizer)
    return prompt, _spans(chat, prompt, tokenizer)


def _applied(chat: Sequence[Mapping[str, Any]], tokenizer: Any) -> Prompt:
    try:
        return Prompt(tokenizer.apply_chat_template(list(chat), tokenize=False, add_generation_prompt=True))
    except Exception as error:  # templates are programs of their own, and raise what they like
        raise ValueError(f"the chat template refuses these messages: {error}") from error


def _spans(chat: Sequence[Mapping[str, Any]], prompt: str, tokenizer: Any) -> list[Span]:
    """Where the words of messages stand: between what the template writes around marks in their place.

    Looking for the words themselves would not do: "user" may stand in a message and in the template.
    """
    words: list[tuple[str, str]] = []  # of every text of every message, with the message's name
    marked = [_marked(message, name, words) for message, name in zip(chat, _names(chat), strict=True)]
    if not words:
        raise ValueError("the messages of this chat are empty; pass at least one word")
    frame: str = _applied(marked, tokenizer)
    at, spans = 0, []
    for number, (name, text) in enumerate(words):
        mark = _mark(number)
        before, met, frame = frame.partition(mark)
        # Many templates take white space off.
        kept = next((t for t in (text, text.strip()) if prompt.startswith(before + t, at)), None)
        if not met or mark in frame or kept is None:
            raise ValueError(
                f"the chat template changes what {name!r} says, so that its words cannot be told from the template's; "
                "pass the prompt as one text, and segments=…"
            )
        at += len(before)
        spans.append(Span(name, 0, at, at + len(kept)))
        at += len(kept)
    if prompt[at:] != frame:
        raise ValueError(
            "the chat template writes something else around other words, so that these cannot be told from its own; "
            "pass the prompt as one text, and segments=…"
        )
    return spans


def _marked(message: Mapping[str, Any], name: str, words: list[tuple[str, str]]) -> dict[str, Any]:
    """A message with marks in the place of its words, which are added to the list."""

    def mark(text: str) -> str:
        if not text.strip():
            return text
        words.append((name, text))
        return _mark(len(words) - 1)

    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": mark(content)}
    pieces = [
        {**piece, "text": mark(piece["text"])}
        if isinstance(piece, Mapping) and isinstance(piece.get("text"), str)
        else piece
        for piece in content or ()
    ]
    return {**message, "content": pieces} if content is not None else dict(message)


def _mark(number: int) -> str:
    return f"qz{number}zq"


def _names(chat: Sequence[Mapping[str, Any]]) -> list[str]:
    """The role of every message; where a role speaks more than once, with its number."""
    roles = [str(message["role"]) for message in chat]
    often, seen = Counter(roles), Counter[str]()
    names = []
    for role in roles:
        seen[role] += 1
        names.append(f"{role} {seen[role]}" if often[role] > 1 else role)
    return names
