"""Networks of other libraries, in the environment that `make test-adapters` makes; elsewhere there is nothing to do."""

from importlib.util import find_spec

from segdata.requirements import EXTRAS
from tests.segmodels.conftest import lesson, lessons, make_lessons

__all__ = ["lesson", "lessons", "make_lessons"]

# All or nothing: where a library is missing in that environment, no test is found, and that is an error of pytest.
ADAPTERS = ("smp", "timm", "torchvision", "hf", "onnx")
collect_ignore_glob = [] if all(find_spec(name) for extra in ADAPTERS for name in EXTRAS[extra]) else ["test_*.py"]
