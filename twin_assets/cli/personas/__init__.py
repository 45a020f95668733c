"""`twin personas`: who there is, and taking a person out of every place."""
