"""The HTML page of a report."""

from vol3d.page.page import render_page

__all__ = ["render_page"]
