"""Pictures of the graph and what the plan says of it: SVG, Graphviz, Mermaid, JSON. Pure."""
