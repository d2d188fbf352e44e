"""Files that hold secrets: who else may read one. Shared by broker, agent and client; knows no format."""

import os
import stat


def seen_by_others(found: os.stat_result) -> bool:
    """Return whether somebody may read the file who should not.

    Its owner may, and nobody else. A file of root's may also be read by its group when we are not root: so container
    platforms hand out secrets, and only root can put anybody into that group.
    """
    allowed = 0o740 if found.st_uid == 0 and os.geteuid() != 0 else 0o700
    return bool(stat.S_IMODE(found.st_mode) & 0o777 & ~allowed)
