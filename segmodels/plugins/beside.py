"""What lies beside a plug-in's file is its own: found by no other code, and read from source each time.

A file imports what its digest is made of, at once or later from inside a function, and nothing else of its folder: no
compiled leftover of another text, and no neighbour that nobody has looked at.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any


class Beside:
    """The modules of one folder, as the files of one plug-in import them."""

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.home = path.parent
        self.files = frozenset(files)
        tops = {each.relative_to(self.home).parts[0].removesuffix(".py") for each in files}
        if path.stem in sys.modules or PathFinder.find_spec(path.stem):
            tops.discard(path.stem)  # my torch.py means torch by `import torch`
        self.tops = frozenset(tops)
        self.modules: dict[str, ModuleType] = {}  # those that were imported
        self.builtins = {**vars(builtins), "__import__": self.imported}
        self._inside = False

    def spec(self, name: str, path: Path) -> ModuleSpec | None:
        """How a module is read from its file."""
        return spec_from_file_location(name, path, loader=FromSource(name, path, self))

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """As `sys.meta_path` asks. Raises ModuleNotFoundError where a name of this folder has no file of the digest."""
        if name.partition(".")[0] not in self.tops:
            return None
        at = self.home.joinpath(*name.split("."))
        for file in (at / "__init__.py", at.with_name(f"{at.name}.py")):
            if file in self.files:
                return self.spec(name, file)
        if not any(at in file.parents for file in self.files):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        package = ModuleSpec(name, None, is_package=True)
        package.submodule_search_locations = [str(at)]
        return package

    def imported(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002  (as Python itself calls them)
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What the statement `import` does in these files."""
        where = (globals or {}).get("__package__") or "" if level else name
        if where.partition(".")[0] not in self.tops:
            return __import__(name, globals, locals, fromlist or (), level)
        with self.own():
            return __import__(name, globals, locals, fromlist or (), level)

    @contextmanager
    def own(self) -> Iterator[None]:
        """Inside, names of this folder mean its modules, and never others of these names."""
        if self._inside:
            yield
            return
        others = {name: sys.modules.pop(name) for name in self._named()}
        sys.modules.update(self.modules)
        sys.meta_path.insert(0, self)
        self._inside = True
        try:
            yield
        finally:
            self._inside = False
            sys.meta_path.remove(self)
            self.modules = {name: sys.modules.pop(name) for name in self._named()}
            sys.modules.update(others)

    def _named(self) -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in self.tops]


class FromSource(SourceFileLoader):
    """Reads a module from its text, whatever `__pycache__` holds: that may be of another text, or of another hand."""

    def __init__(self, name: str, path: Path, beside: Beside) -> None:
        super().__init__(name, str(path))
        self.beside = beside

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self.beside.builtins
        super().exec_module(module)
