"""`python -m broker.agent CONFIG`: the agent without the rest of the command line."""

import sys
from pathlib import Path

from broker.agent.main import main

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m broker.agent CONFIG\n")
        sys.exit(2)
    sys.exit(main(Path(sys.argv[1])))
