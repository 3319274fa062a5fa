"""The site: ``python -m sphinx -W --keep-going docs site`` builds it; a broken link or a bad page is an error."""

import sys
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from site_pages import docstrings, pages

import gd

project, author, release = "gd", "The gd developers", gd.__version__
copyright = f"{date.today().year}, {author}"
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_copybutton"]
exclude_patterns = ["site_pages"]
html_theme, html_title, html_static_path = "furo", "gd", ["static"]
html_css_files = ["gd.css"]
html_theme_options = {"source_repository": "", "navigation_with_keys": True}
default_role = "autolink"
myst_enable_extensions = ["dollarmath", "attrs_inline"]
myst_heading_anchors = 3
autodoc_typehints, autodoc_member_order = "none", "bysource"
numpydoc_class_members_toctree = numpydoc_show_class_members = False
copybutton_prompt_text, copybutton_prompt_is_regexp = r">>> |\.\.\. |\$ ", True


def formula(translator, node):
    """Write a formula as MathML, which browsers show without a script or a network."""
    translator.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def within(_app, _name, source):
    """Link to pages of the site where files of the repository are linked to."""
    for file, page in pages.COPIED.items():
        source[0] = source[0].replace(f"](../{file}.md)", f"]({page}.md)")


def is_of_another_library(_app, _what, name, _object, skip, _options):
    """Leave out the methods that scikit-learn gives every estimator, whose documentation links to its own site."""
    return skip or name.endswith("_request") or name == "get_metadata_routing"


def setup(app):
    """Connect all of this to Sphinx."""
    app.connect("source-read", within)
    app.connect("autodoc-skip-member", is_of_another_library)
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
    app.connect("builder-inited", lambda app: pages.write(Path(app.srcdir)))
    app.connect("autodoc-process-docstring", docstrings.typeset, priority=400)  # before numpydoc


html_math_renderer = "mathml"
