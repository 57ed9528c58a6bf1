"""YAML as people write it: plain values, no key twice, and every fault told with its file and line.

Tags and objects are refused, and aliases where nobody needs them: a few lines can stand for more than memory holds.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from reprlib import repr as short
from typing import Any, TypeVar

import yaml

from segdata.errors import SegdataError

T = TypeVar("T")

PLAIN = "Expected plain YAML: tags, aliases and objects are refused."
OCTAL = re.compile(r"[-+]?0[0_]*([1-7][0-7_]*)")
TAGS: dict[type, str] = {yaml.MappingNode: "tag:yaml.org,2002:map", yaml.SequenceNode: "tag:yaml.org,2002:seq"}
WORDS = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "keys with values"}


@dataclass(frozen=True)
class Entry:
    """A value of a YAML file, and where it stands.

    value: text, a number and the like, a list of entries, or a dict of entries by key. place: "mine.yaml, line 3", of
    a value with a key the line of the key. written: a single value as it stands in the file.
    """

    value: Any
    place: str
    error: type[SegdataError]
    written: str = ""

    def wrong(self, found: str) -> SegdataError:
        """The error that says what is wrong here."""
        return self.error(f"{self.place}: {found}")

    def typed(self, kind: type[T], what: str) -> T:
        """The value. Raises the error where it is of another type; `what` names it ("class 0: color")."""
        if type(self.value) is kind:
            return self.value
        name = f"{what}: " if what else ""
        found = f"{name}found {self.shown()}, expected {WORDS.get(kind, kind.__name__)}"
        if kind is str and self.written:
            found += f" (write it in quotes: '{self.written[:40]}')"
        elif kind in (int, bool) and isinstance(self.value, str):
            found += ", without quotes"
        raise self.wrong(f"{found}.")

    def table(self, what: str, required: Collection[str], optional: Collection[str]) -> "dict[str, Entry]":
        """The entries by key. Raises the error for a key that is missing, and for one that is not known."""
        table: dict[str, Entry] = self.typed(dict, what)
        known = [*required, *optional]
        unknown = [key for key in table if key not in known]
        missing = [key for key in required if key not in table]
        if not unknown and not missing:
            return table
        problems = [f"unknown key {key!r}{nearest(key, known)}" for key in unknown]
        problems += [f"missing key {key!r}" for key in missing]
        at = table[unknown[0]] if unknown else self
        name = f"{what}: " if what else ""
        keys = [f"the keys {', '.join(required)}"] * bool(required) + [f"optionally {', '.join(optional)}"] * bool(
            optional
        )
        raise at.wrong(f"{name}{', '.join(problems)}; expected {', and '.join(keys)}.")

    def plain(self) -> Any:
        """The value with all that is inside it, without places."""
        if isinstance(self.value, dict):
            return {key: entry.plain() for key, entry in self.value.items()}
        return [entry.plain() for entry in self.value] if isinstance(self.value, list) else self.value

    def shown(self) -> str:
        """For people, and short: text in quotes, other single values as they are written."""
        if self.written and not isinstance(self.value, str):
            return self.written if len(self.written) <= 40 else f"{self.written[:40]}…"
        return short(self.plain())


def optional(table: Mapping[str, Entry], key: str, what: str, default: T) -> T:
    """The value of a key that may be missing, of the type of its default; `what` names the table ("class 0")."""
    return table[key].typed(type(default), f"{what}: {key}" if what else key) if key in table else default


def nearest(name: str, names: Collection[str]) -> str:
    """The rest of a sentence about a name that is not among those that are known; "" where none is like it."""
    near = get_close_matches(name, names, n=1)
    return f" (nearest: {near[0]!r})" if near else ""


def flow(value: object) -> str:
    """A value as YAML has it on one line: JSON is YAML; only the ASCII subset, so that no locale or YAML dumper version
    matters."""
    return json.dumps(value)


def read_yaml(data: bytes, file: str, error: type[SegdataError], *, aliases: bool = False) -> Entry:
    """The one document of a YAML file. `file` names it in messages; `aliases`: whether *name and << are allowed.

    Raises `error`, with the line, for damage, a key that stands twice or is no text, and what is not plain.
    """
    text = _decoded(data, file, error)
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as damaged:
        line = text.count("\n", 0, damaged.position) + 1
        raise error(f"{file}, line {line}: the character {chr(damaged.character)!r}, which no text file has.") from None
    loader.aliases = aliases
    try:
        node = loader.get_single_node()
        found = Entry(None, file, error) if node is None else _entry(loader, node, file, error)
    except yaml.MarkedYAMLError as damaged:
        mark = damaged.problem_mark or damaged.context_mark
        line = mark.line if mark else loader.line
        raise error(f"{file}, line {line + 1}: {_told(damaged)}") from None
    except RecursionError:
        raise error(f"{file}, line {loader.line + 1}: nested too deeply. {PLAIN}") from None
    finally:
        loader.dispose()
    return found


def _decoded(data: bytes, file: str, error: type[SegdataError]) -> str:
    """UTF-8, or UTF-16 as some editors write it, with a mark at its beginning."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as damaged:
        line = data.count(b"\n", 0, damaged.start) + 1
        raise error(
            f"{file}, line {line}: bytes that are no {encoding.removesuffix('-sig')} text. Save it as utf-8."
        ) from None


def _told(damaged: yaml.MarkedYAMLError) -> str:
    """What PyYAML says, in one line."""
    text = " ".join(filter(None, (damaged.context, damaged.problem)))
    if "\\t" in text:
        return "a tab where YAML wants spaces. Indent with spaces."
    begun = damaged.context_mark
    if begun and damaged.problem_mark and begun.line != damaged.problem_mark.line:
        text += f" (in what begins on line {begun.line + 1})"
    return f"{text[:200].rstrip('.')}. {PLAIN}"


class _Loader(yaml.SafeLoader):
    """Safe YAML, whose aliases may be refused."""

    aliases = False

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if not self.aliases and self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"an alias, *{event.anchor}", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


def _entry(loader: _Loader, node: yaml.Node, file: str, error: type[SegdataError]) -> Entry:
    here = Entry(None, f"{file}, line {node.start_mark.line + 1}", error)
    if node.tag != TAGS.get(type(node), node.tag):
        raise here.wrong(f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')[:80]}. {PLAIN}")
    if isinstance(node, yaml.MappingNode):
        return replace(here, value=dict(_pairs(loader, node, file, error)))
    if isinstance(node, yaml.SequenceNode):
        return replace(here, value=[_entry(loader, each, file, error) for each in node.value])
    return replace(here, value=_single(loader, node, here), written=str(node.value))


def _pairs(
    loader: _Loader, node: yaml.MappingNode, file: str, error: type[SegdataError]
) -> Iterator[tuple[str, Entry]]:
    """Keys and values; those that are merged in (<<) first, so that the mapping's own win."""
    first: dict[object, int] = {}
    for key, _ in node.value:
        here = Entry(None, f"{file}, line {key.start_mark.line + 1}", error)
        name = _single(loader, key, here) if isinstance(key, yaml.ScalarNode) else None
        if not isinstance(name, str):
            written = f" {key.value[:40]}" if isinstance(key, yaml.ScalarNode) else ""
            raise here.wrong(f"the key{written} is not text. Write it in quotes.")
        if name in first:
            raise here.wrong(f"the key {name!r} stands twice, first on line {first[name]}. Remove one of them.")
        first[name] = key.start_mark.line + 1
    loader.flatten_mapping(node)
    for key, value in node.value:
        entry = _entry(loader, value, file, error)
        yield _joined(str(key.value)), replace(entry, place=f"{file}, line {key.start_mark.line + 1}")


def _single(loader: _Loader, node: yaml.Node, here: Entry) -> Any:
    if node.tag == "tag:yaml.org,2002:merge":
        return str(node.value)
    if node.tag == "tag:yaml.org,2002:int" and (found := OCTAL.fullmatch(node.value)):
        raise here.wrong(
            f"{node.value[:40]} begins with 0: YAML would take it for an octal number. Write {found[1][:40]}."
        )
    try:
        return _joined(loader.construct_object(node, deep=True))
    except yaml.MarkedYAMLError as damaged:
        raise here.wrong(f"{damaged.problem}. {PLAIN}") from None
    except Exception:  # dates that are none, numbers beyond all bounds: PyYAML takes them for what they look like
        raise here.wrong(f"{short(str(node.value))} is no value of its kind. {PLAIN}") from None


def _joined(value: Any) -> Any:
    """Of a text, the two halves of a character as one, as JSON writes those above U+FFFF: "\\ud83d\\ude00".

    PyYAML leaves them apart, and no file can be written with them. Raises UnicodeDecodeError for a half alone.
    """
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    return value
