"""The first hand: runs a plan and fills the store."""
