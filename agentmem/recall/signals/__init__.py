"""The signals, a file each. `presets` says which are asked, and with what weights."""
