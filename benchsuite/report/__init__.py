"""Joins the speed and the quality of runs into one report: tables, figures, HTML, Markdown, JSON, and the terminal."""

from benchsuite.report.join import join
from benchsuite.report.render import render, save, write
from benchsuite.report.terminal import terminal

__all__ = ["join", "render", "save", "terminal", "write"]
