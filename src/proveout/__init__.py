"""Proveout takes an autonomous agent from a reactive notebook to governed production and back."""

__version__ = "0.1.0"
