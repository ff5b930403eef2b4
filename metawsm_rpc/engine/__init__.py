"""What makes runs happen: planning, driving, watching, stopping and closing them."""
