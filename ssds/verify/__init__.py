"""What the signatures of locks, images and sites prove, offline and in words."""
