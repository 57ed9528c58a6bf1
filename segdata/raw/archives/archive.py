"""One archive of either kind: the names of its files, and the bytes of one of them."""

from collections.abc import Collection

from segdata.errors import SourceError
from segdata.raw.archives.kinds import OTHER, PACKED_TAR, TAR
from segdata.raw.archives.tars import read_tarred, tar_entries
from segdata.raw.archives.zips import INFLATE, read_zipped, zip_entries
from segdata.stores.url import Place


def archive_names(place: Place) -> Collection[str]:
    """The paths of its files. Raises SourceError where it cannot be read in place, with what to do."""
    if PACKED_TAR.fullmatch(place.name):
        raise SourceError(
            f"{place}: a compressed tar has no list of its files, so it cannot be read in place. Unpack it "
            f"(`tar -xf {place.name}`), or only decompress it: a .tar and a .zip are read as they are."
        )
    if OTHER.fullmatch(place.name):
        raise SourceError(f"{place}: archives of this kind are not read. Unpack it: a .zip and a .tar are read.")
    return tar_entries(place) if TAR.fullmatch(place.name) else zip_entries(place)


def read_archived(place: Place, inner: str) -> bytes:
    """One file's bytes. Raises SourceError, and what the decompressors raise for damage."""
    return read_tarred(place, inner) if TAR.fullmatch(place.name) else read_zipped(place, inner)


def holds(place: Place, inner: str, data: bytes) -> bool:
    """Whether the file in the archive has these bytes; a zip is asked for its CRC-32 alone."""
    if TAR.fullmatch(place.name):
        return read_tarred(place, inner) == data
    return bool(INFLATE.crc32(data) == zip_entries(place)[inner].crc)
