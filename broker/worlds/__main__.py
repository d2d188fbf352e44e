"""Write the published JSON Schema of worlds: `python -m broker.worlds > broker/worlds/world.schema.json`."""

import sys

from broker.worlds.loader import json_schema

sys.stdout.write(json_schema())
