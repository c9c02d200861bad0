"""What neighbours read, written from locks: SHPC registries, DUCC's lists, NeuroDesk's lists."""
