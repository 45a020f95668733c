"""Where the writing of other people is kept that personas are told from: `twin impostors fetch` writes it, evaluation reads it."""

# In the lake: a folder for each writer, with the file that says whose it is and by what licence.
IMPOSTORS, ATTRIBUTION = "impostors", "ATTRIBUTION.txt"
