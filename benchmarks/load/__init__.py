"""Open-loop load on a whole exchange: 34 cities submit, fake agents of all clusters answer over the real protocol."""
