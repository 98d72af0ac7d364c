"""Packages of optional extras, imported when a language first needs them."""

import importlib
import warnings
from types import ModuleType

from configs.errors import UserError


def optional_module(name: str, extra: str) -> ModuleType:
    """The module `name`; UserError that names the package's `extra` where it is not installed."""
    try:
        with warnings.catch_warnings():  # some are old and warn when they are imported
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"this text needs the optional package {(error.name or name).split('.')[0]}: install "
            f"it with: pip install -c constraints.txt -e '.[{extra}]' in Voxloom's folder"
        ) from error
