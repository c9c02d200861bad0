"""The second hand: spreads locks to channels, sites, modules and wrappers."""
