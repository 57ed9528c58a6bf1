"""Where a dataset's files lie, as a path with named fields: `images/{drive}/{frame}.{jpg,png}`.

`{drive}` is a field, which stands for any name or part of one; where it stands twice, both are equal. `{a,b}` is a
choice, `*` anything within one name, `**/` any number of folders. A suffix matches in capitals too, as cameras and
Windows tools write it. A template becomes one regular expression.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

FIELD = re.compile(r"[a-z][a-z0-9_]*")  # its name
TOKEN = re.compile(r"\{(?P<braces>[^{}]*)\}|(?P<deep>\*\*/)|(?P<any>\*)|(?P<text>[^{}*]+)|(?P<wrong>.)", re.DOTALL)
ANYTHING = r"[^/]+"  # what a field is where nothing else is said
PLAIN_FIELD = re.compile(rf"\{{({FIELD.pattern})\}}")
DIVIDED = re.compile(rf"\{{({FIELD.pattern})\s*//\s*(\d+)\}}")
KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # what the names of a sample's parts can begin with
UNSAFE = re.compile(r"[^A-Za-z0-9_-]")  # what no key has


@dataclass(frozen=True)
class Token:
    """A part of a template: `text` (its characters, or a choice of several), `field`, `any` or `deep`."""

    kind: str
    value: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Template:
    """A template as written: `folder` is the path of the folders that hold no field, `pattern` matches the rest.

    rule: the file's name for people, "<drive>_<frame>.png". letters: how many characters are given, not matched: of two
    templates that match a file, the one with more says more about it.
    """

    text: str
    folder: str
    pattern: re.Pattern[str]
    fields: tuple[str, ...]
    rule: str
    letters: int

    @classmethod
    def parse(cls, text: str, fields: Mapping[str, str]) -> "Template":
        """`fields` are regular expressions for some of them. Raises ValueError that says what is wrong."""
        if "\\" in text or {"", ".", ".."} & {*text.split("/")}:
            raise ValueError("expected a path from the dataset's folder on, with / between folders, to a file")
        names = text.split("/")
        plain = next((i for i, name in enumerate(names[:-1]) if set(name) & set("{}*")), len(names) - 1)
        # A choice that holds a slash stands in the rest, as does all that follows.
        folder, rest = "/".join(names[:plain]), "/".join(names[plain:])
        tokens = list(_tokens(rest))
        given = [token.value for token in tokens if token.kind == "field"]
        rule = PLAIN_FIELD.sub(r"<\1>", rest.removeprefix("**/").rpartition("/")[2])
        letters = len(folder) + sum(len(token.value) for token in tokens if token.kind == "text")
        return cls(text, folder, _pattern(tokens, fields), tuple(dict.fromkeys(given)), rule, letters)

    def match(self, below: str) -> dict[str, str] | None:
        """The fields of a file at this path below `folder`; None where it is none of these."""
        found = self.pattern.fullmatch(below)
        return found.groupdict() if found else None


@dataclass(frozen=True)
class Naming:
    """A name made of fields, such as the key of a frame: "{drive}_{frame}"; `{frame//600}` is a number's quotient.

    `safe`: characters that no key may have become a hyphen.
    """

    text: str
    safe: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """Those that it is made of, also the divided ones."""
        return tuple(re.findall(rf"\{{({FIELD.pattern})[^{{}}]*\}}", self.text))

    @cached_property
    def _parsed(self) -> tuple[dict[str, tuple[str, int]], str]:
        """Quotients by their names, and the text with these: once, for a million keys."""
        quotients = {f"_{field}_{by}": (field, int(by)) for field, by in DIVIDED.findall(self.text)}
        return quotients, DIVIDED.sub(r"{_\1_\2}", self.text)

    def check(self, known: Collection[str]) -> None:
        """Raise ValueError for what is no name made of these fields."""
        plain = PLAIN_FIELD.sub("", DIVIDED.sub("", self.text))
        if set(plain) & set("{}*") or not self.fields or any(int(by) == 0 for _, by in DIVIDED.findall(self.text)):
            raise ValueError("expected text and fields in braces, such as {drive}_{frame} or {drive}/{frame//600}")
        if foreign := [field for field in self.fields if field not in known]:
            raise ValueError(f"no field {foreign[0]!r} here; there are {', '.join(known) or 'none'}")

    def part(self, value: str) -> str:
        """What of a field's value a name has."""
        return UNSAFE.sub("-", value) if self.safe else value

    def of(self, values: Mapping[str, str]) -> str:
        """The name; of a field that is divided and no whole number, its text."""
        quotients, text = self._parsed
        divided = {name: _quotient(values[field], by) for name, (field, by) in quotients.items()}
        name = text.format_map({**values, **divided})
        if not self.safe:
            return name
        name = UNSAFE.sub("-", name)
        return name if name[:1].isalnum() else f"x{name}"


def glob(text: str) -> re.Pattern[str]:
    """A pattern of what begins as a path with choices and `*` does: "gtBbox3d/", "evaluation*.json".

    Raises ValueError for one with fields.
    """
    tokens = list(_tokens(text))
    if fields := [token.value for token in tokens if token.kind == "field"]:
        raise ValueError(f"a field {{{fields[0]}}} where a path with {{choices,}} and * is expected")
    return re.compile("".join(_piece(token, {}, set()) for token in tokens))


def _tokens(text: str) -> Iterator[Token]:
    for found in TOKEN.finditer(text):
        if found["wrong"]:
            raise ValueError(f"a brace that has no partner in {text!r}")
        if found["braces"] is None:
            kind = "text" if found["text"] else "deep" if found["deep"] else "any"
            yield Token(kind, found[0])
        elif "," in found["braces"]:
            choices = tuple(found["braces"].split(","))
            if any(choice != choice.strip() for choice in choices):
                raise ValueError(
                    f"a space beside a comma or brace in {found[0]!r}: write {{{','.join(map(str.strip, choices))}}}"
                )
            yield Token("choice", "", choices)
        elif FIELD.fullmatch(found["braces"]):
            yield Token("field", found["braces"])
        else:
            raise ValueError(f"{{{found['braces']}}} is no field: expected letters, digits and _, or {{a,b}}")


def _pattern(tokens: list[Token], fields: Mapping[str, str]) -> re.Pattern[str]:
    """Of the tokens in order; from the last full stop after all fields on, capitals match too."""
    last = max((i for i, token in enumerate(tokens) if token.kind in {"field", "any", "deep"}), default=-1)
    stops = [i for i, token in enumerate(tokens) if i > last and "." in "".join((token.value, *token.choices))]
    met = set[str]()
    pieces = [_piece(token, fields, met) for token in tokens]
    if stops:
        at = stops[-1]
        ends = "|".join(map(_in_capitals_too, tokens[at].choices or [tokens[at].value]))
        pieces = [*pieces[:at], f"(?:{ends})", f"(?i:{''.join(pieces[at + 1 :])})"]
    try:
        return re.compile("".join(pieces))
    except re.error as error:
        raise ValueError(f"a field whose regular expression is none ({error})") from None


def _in_capitals_too(end: str) -> str:
    """The end of a name, whose suffix may be in capitals."""
    stem, stop, suffix = end.rpartition(".")
    return f"{re.escape(stem)}(?i:{re.escape(stop + suffix)})" if stop else re.escape(end)


def _piece(token: Token, fields: Mapping[str, str], met: set[str]) -> str:
    if token.kind == "field":
        again = token.value in met
        met.add(token.value)
        return f"(?P={token.value})" if again else f"(?P<{token.value}>{fields.get(token.value, ANYTHING)})"
    if token.kind == "choice":
        return f"(?:{'|'.join(map(re.escape, token.choices))})"
    return {"any": "[^/]*", "deep": "(?:[^/]+/)*"}.get(token.kind) or re.escape(token.value)


def _quotient(text: str, by: int) -> str:
    return str(int(text) // by) if text.isascii() and text.isdecimal() else text
