"""One family of cases a module, with the code of every library for it."""
