"""Package systems: a request becomes an exact set; an exact set is installed without network."""
