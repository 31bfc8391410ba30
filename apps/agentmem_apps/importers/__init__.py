"""From files to records. One module a format; each only reads."""
