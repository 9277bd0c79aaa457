"""Files that gateway and workers share."""
