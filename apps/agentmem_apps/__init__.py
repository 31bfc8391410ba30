"""Floor 3: what people run: the command line, importers, evaluation, the demo."""
