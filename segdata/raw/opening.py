"""What lies at a place, a folder on a disk or a store behind a URL, as a Storage. Only here this room asks which."""

from segdata.raw.bucket import Bucket
from segdata.raw.disk import Disk
from segdata.raw.storage import Storage
from segdata.stores.url import Place, Url


def storage_at(place: Place) -> Storage:
    return Bucket(place) if isinstance(place, Url) else Disk(place)
