"""The datasets that can be painted: one line each."""

from segdata.synth.layouts import cityscapes, tas500
from segdata.synth.layouts.frames import Layout

LAYOUTS: dict[str, Layout] = {
    "cityscapes": cityscapes,
    "tas500": tas500,
}
