"""What asv tracks. asv imports these modules under a name of its own, so imports here are absolute; lower is better."""
