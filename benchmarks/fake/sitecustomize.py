"""With this folder on PYTHONPATH, `model.engine` is the fake beside this file, in any process."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path


class _Fake(MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != "model.engine":
            return None
        return spec_from_file_location(name, Path(__file__).with_name("engine.py"))


sys.meta_path.insert(0, _Fake())
