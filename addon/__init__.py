"""Docxy: a Docker registry mirror as a mitmproxy addon."""

__version__ = "0.1.0"
