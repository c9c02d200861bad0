"""Keys and signatures: who vouches for bytes, checked offline and in words."""
