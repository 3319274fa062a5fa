"""``python -m gd.bench``: runs ``gd bench``."""

import sys

from gd.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
