"""Settings of the documentation; pages that follow from the code come from `_ext`."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # for the tutorials' kernel
sys.path.insert(0, str(HERE / "_ext"))
sys.path.insert(0, str(HERE.parent))

import registry_tables  # noqa: E402 -- found through the paths set above

import tsoxr  # noqa: E402

project = "tsoxr"
author = "The tsoxr developers"
copyright = author
release = version = tsoxr.__version__

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb", "registry_tables"]
exclude_patterns = ["_build", "_ext", "examples", "generated/tables", "**.ipynb_checkpoints"]
default_role = "py:obj"

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings give types with dims and units
numpydoc_show_class_members = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# The tutorials run in the build, unless neither they nor the package changed since the last one.
os.environ.pop("TSOXR_OUTPUT", None)
nb_execution_mode = os.environ.get("TSOXR_DOCS_EXECUTE", "cache")
nb_execution_cache_path = str(HERE / "_build" / "notebooks" / registry_tables.fingerprint())
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_show_tb = True
nb_merge_streams = True
nb_ipywidgets_js = {}  # no scripts are fetched; progress bars, being widgets, stay invisible

html_theme = "pydata_sphinx_theme"
html_title = "tsoxr"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["tsoxr.css"]
html_theme_options = {
    "logo": {"text": "tsoxr"},
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
