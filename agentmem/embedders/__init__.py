"""Embedders that need no server. Each module is imported only when its name is asked for."""
