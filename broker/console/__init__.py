"""The console: what operators, cities, owners and observers see in a browser, made on the server."""
