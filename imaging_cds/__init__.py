"""Composition root: settings, application factory and command line."""
