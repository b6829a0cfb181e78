"""Images from a name, and stateless batches of them: `load`, `open_data`, `batches`, `stream`."""

from genjax.data.batches import RawBatch, batches
from genjax.data.catalogue import Data, load, open_data
from genjax.data.images import ImageSet, Source
from genjax.data.stream import stream

__all__ = ["Data", "ImageSet", "RawBatch", "Source", "batches", "load", "open_data", "stream"]
