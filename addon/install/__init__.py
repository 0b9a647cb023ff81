"""Docxy on a server: made, upgraded and removed by root, with the standard library alone.

It runs with the system's Python, before the mirror's own virtual environment is there.
"""
