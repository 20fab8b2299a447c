"""Run the quicklook tutorial from raw ramps to a spectrum and keep what it makes."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

NOTEBOOK = Path(__file__).with_name("00_quicklook.ipynb")


def run(output: Path) -> Path:
    """Execute the notebook in ``output`` and return the HTML page.

    Parameters
    ----------
    output : Path
        Folder that receives the raw files, the products and the page; made if absent.

    Raises
    ------
    CellExecutionError
        When a cell fails; the page so far is written all the same.
    """
    output.mkdir(parents=True, exist_ok=True)
    os.environ["TSOXR_OUTPUT"] = str(output.resolve())
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": output}}
    )
    page = output / "00_quicklook.html"
    try:
        client.execute()
    finally:
        page.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    return page


def main() -> int:
    """Run the demo from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("output"), help="folder for all that is made"
    )
    output = parser.parse_args().output
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("traitlets").setLevel(logging.ERROR)  # nbconvert's remarks on the pictures
    log = logging.getLogger("demo")
    start = time.perf_counter()
    log.info("simulating raw ramps and reducing them in %s ...", NOTEBOOK.name)
    try:
        page = run(output)
    except CellExecutionError as error:
        log.info("the notebook stopped: %s", error)
        log.info("what was run so far: %s", output / "00_quicklook.html")
        return 1
    log.info("done in %.0f s", time.perf_counter() - start)
    log.info("the notebook with its pictures:  %s", page)
    for path in sorted(output.rglob("*.nc")):
        log.info("product (netCDF):                %s", path)
    log.info("raw ramps (FITS):                %s", output / "raw")
    return 0


if __name__ == "__main__":
    sys.exit(main())
