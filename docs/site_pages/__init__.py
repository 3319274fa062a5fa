"""What ``docs/conf.py`` needs to make the site: pages and pictures of the API, and typeset formulas."""
