"""Figures of models and hubs as they were when a lease was offered: a later correction does not rewrite what was used.

Versions are kept by the tables' triggers. A lease that is older than all of them has the first ones that there are.
"""

from typing import Final, LiteralString

_AT_THE_OFFER: Final[LiteralString] = """
           ORDER BY g.since <= l.offered_at DESC, CASE WHEN g.since <= l.offered_at THEN g.since END DESC, g.since
           LIMIT 1
"""

FP16_THEN: Final[LiteralString] = (
    """
      LEFT JOIN LATERAL (
          SELECT fp16_nameplate_milli_tflops AS nameplate, fp16_programme_milli_tflops AS programme,
                 fp16_measured_milli_tflops AS measured
            FROM model_figures g WHERE g.model = p.model"""
    + _AT_THE_OFFER
    + """      ) f ON true
"""
)
"""Joins `f`: nameplate, programme, measured, in milli-TFLOPS of a card; to leases `l` and their pools `p`."""

POWER_THEN: Final[LiteralString] = (
    """
      LEFT JOIN LATERAL (
          SELECT watts FROM model_watts g WHERE g.model = p.model"""
    + _AT_THE_OFFER
    + """      ) w ON true
      LEFT JOIN LATERAL (
          SELECT pue_milli FROM hub_pues g WHERE g.hub = c.hub"""
    + _AT_THE_OFFER
    + """      ) h ON true
"""
)
"""Joins `w`: watts of a card with its share of the host; and `h`: pue_milli, 0 where it was not known.

To leases `l`, their pools `p` and clusters `c`.
"""
