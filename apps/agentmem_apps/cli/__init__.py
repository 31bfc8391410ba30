"""The command `agentmem`."""

from agentmem_apps.cli.app import main

__all__ = ["main"]
