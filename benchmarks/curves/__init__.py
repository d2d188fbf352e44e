"""How cost grows: curves over jobs, nodes, cities and watchers, each with its exponent."""
