"""Sphinx configuration: MyST pages, API reference generated from the docstrings."""

import hubzarr

project = "hubzarr"
author = "The hubzarr authors"
copyright = "2026, The hubzarr authors"
release = version = hubzarr.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "groupwise"
# Modules that need these are documented where they are not installed, too.
autodoc_mock_imports = ["jax", "tensorflow", "torch"]
autodoc_typehints = "none"  # the numpydoc sections say it once
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"hubzarr {version}"
html_copy_source = False
