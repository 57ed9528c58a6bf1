"""One file of a dataset, wherever it is: in a folder, in an archive, or in a store."""

from dataclasses import dataclass

from segdata.base.files import parsing
from segdata.errors import LinkError, SourceError
from segdata.raw.archives.archive import holds, read_archived
from segdata.raw.archives.zips import MAX_MEMBER_BYTES
from segdata.raw.storages.opening import storage_at
from segdata.stores.url import Place


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One file of a tree: `path` names it in messages and metadata, the rest says where its bytes are."""

    path: str  # "leftImg8bit/train/aachen/….png": from the dataset's own top folder on, POSIX
    container: Place  # the folder, or the archive
    inner: str  # path inside the container
    zipped: bool = False  # whether it lies in an archive: a zip, or a tar
    fault: str = ""  # why it must not be read: a link that leads nowhere or in a circle

    def read(self) -> bytes:
        """The file's bytes. Raises SourceError when it cannot be read or is far too large."""
        if self.fault:
            raise LinkError(f"{self.where}: {self.fault}")
        with parsing(self.where, SourceError):
            if self.zipped:
                return read_archived(self.container, self.inner)
            return storage_at(self.container).read(self.inner, MAX_MEMBER_BYTES)

    @property
    def where(self) -> str:
        """For people: the path on disk, or the archive and the member in it."""
        return f"{self.container}:{self.inner}" if self.zipped else str(self.container / self.inner)


@dataclass(frozen=True, slots=True, order=True)
class Twin(Member):
    """A member that lies in an archive as well, where it must have the same bytes."""

    packed: Member | None = None

    def read(self) -> bytes:
        data = Member.read(self)
        if self.packed and not holds(self.packed.container, self.packed.inner, data):
            raise SourceError(f"{self.where}: other bytes than {self.packed.where}. Move the wrong one away.")
        return data
