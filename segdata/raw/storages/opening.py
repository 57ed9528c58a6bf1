"""What lies at a place, a folder on a disk or a store behind a URL, as a Storage. Only here this room asks which."""

from segdata.raw.storages.bucket import Bucket
from segdata.raw.storages.disk import Disk
from segdata.raw.storages.storage import Storage
from segdata.stores.url import Place, Url


def storage_at(place: Place) -> Storage:
    return Bucket(place) if isinstance(place, Url) else Disk(place)
