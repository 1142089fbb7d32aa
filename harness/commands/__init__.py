"""The commands of `harness`, a file a subject: each adds its own to the parser and imports what it needs when run."""
