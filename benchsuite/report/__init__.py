"""Joins the speed and the quality of runs into one report: tables, figures, HTML, Markdown, JSON, and the terminal."""
