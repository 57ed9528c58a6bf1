"""Networks whose code is none of segmodels' own: where it is found, what it is known by, how it is made to fit.

`plug_in` makes a ModelSpec of a reference: `my.py:Net`, `package.module:Net`, or the name under which an installed
package registers one (entry point `segmodels.networks`). Adapters to whole libraries belong in `adapters`.
"""

from segmodels.plugins.declare import declare
from segmodels.plugins.plug import plug_in
from segmodels.plugins.reference import is_reference

__all__ = ["declare", "is_reference", "plug_in"]
