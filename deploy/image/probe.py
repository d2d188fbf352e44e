#!/opt/xisuan/bin/python
"""Ask the broker in this container: `xisuan-probe /readyz`. Ends with 0 when it answers well. The image has no curl."""

import os
import sys
import urllib.error
import urllib.request

WHERE = os.environ.get("XISUAN_PROBES", "127.0.0.1:7490")

if __name__ == "__main__":
    try:
        with urllib.request.urlopen(f"http://{WHERE}{sys.argv[1]}", timeout=5) as answer:
            sys.exit(answer.status != 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        sys.exit(str(error))
