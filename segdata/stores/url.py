"""Where data lies: a path of this machine, or a URL whose credentials no message, file or log ever shows."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from segdata.errors import StoreError

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://(.*)", re.DOTALL)
_IN_TEXT = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*://)([^\s'\"<>]*)")


@dataclass(frozen=True, order=True, repr=False)
class Url:
    """A folder or file in a store. `str()` leaves user, password and query out; `exact` is for the store alone."""

    exact: str

    def __str__(self) -> str:
        return _public(self.exact)

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    def __truediv__(self, path: str) -> "Url":
        """A path below this one; a query stays at the end, where it signs every file alike."""
        base, mark, query = self.exact.partition("?")
        return Url(f"{base.rstrip('/')}/{path}{mark}{query}")

    @property
    def scheme(self) -> str:
        return self.exact.partition("://")[0].lower()

    @property
    def name(self) -> str:
        return self.exact.partition("?")[0].rstrip("/").rpartition("/")[2]

    def redacted(self, text: str) -> str:
        """`text` without anything secret: other URLs in it shortened, this one's credentials taken out."""
        text = _IN_TEXT.sub(lambda found: _public(found[0]), text)
        for secret in self._secrets():
            text = text.replace(secret, "…")
        return text

    def _secrets(self) -> list[str]:
        """Password and query with its values, as they stand and decoded; the longest first."""
        parts = urlsplit(self.exact)
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
        values = [value for pair in parts.query.split("&") if (value := pair.partition("=")[2])]
        found = {parts.query, password, *values} | ({f"{user}:{password}"} if password else {user})
        return sorted({text for each in found for text in (each, unquote(each)) if text}, key=len, reverse=True)


Place = Path | Url


def place(text: str | Place) -> Place:
    """`s3://bucket/set` and the like as a Url, all else (and `file://`) as a Path. Raises StoreError."""
    if not isinstance(text, str):
        return text
    found = _URL.fullmatch(text)
    if found is None:
        return Path(text)
    if found[1].lower() == "file":
        return Path(unquote(found[2].removeprefix("localhost")))
    try:
        urlsplit(text)
    except ValueError as error:
        raise StoreError(f"{_public(text)}: no URL ({error}). Expected one such as s3://bucket/set.") from None
    return Url(text)


def _public(exact: str) -> str:
    """A URL without user, password and query; `?…` says that there was one."""
    base, mark, _ = exact.partition("?")
    scheme, _, rest = base.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" + ("?…" if mark else "")
