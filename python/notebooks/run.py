"""Executes every notebook of this folder, and fails where a cell fails: `python notebooks/run.py [FOLDER]`.

With a FOLDER the executed notebooks are written there, to be looked at.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    paths = sorted(Path(__file__).parent.glob("*.ipynb"))
    assert len(paths) == 3, paths
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        assert not any(cell.get("outputs") for cell in notebook.cells), f"{path.name} is committed without outputs"
        NotebookClient(notebook, timeout=180, kernel_name="python3").execute()
        if target is not None:
            target.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, target / path.name)
        print(f"{path.name}: {len(notebook.cells)} cells")
    print(f"{len(paths)} passed, 0 failed")


if __name__ == "__main__":
    main()
