"""What is asked of a study: settings, profiles, search spaces, draws or points."""
