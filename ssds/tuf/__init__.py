"""A TUF repository of catalog, locks and advisories: no mirror rolls a site back unseen."""
