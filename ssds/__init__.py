"""ssds: the Scientific Software Distribution Service.

A Git catalog of recipes compiles into a content-addressed graph; locks record what it gave;
deployments read only the locks. ``docs/explanation/architecture.md`` is the guided tour.
"""
