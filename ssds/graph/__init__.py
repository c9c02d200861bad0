"""From catalog and pins to graph, from graph and facts to plan. Pure."""
