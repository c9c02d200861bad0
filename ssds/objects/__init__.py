"""Object stores: keys and bytes over HTTP; S3, Swift and plain uploads behind one plug."""
