"""Experiments of several runs: a study trains what it needs, measures it, and leaves a table and a picture.

`genjax study NAME` runs one. A study is a function (workdir, *, seeds, quiet) -> text; what it trained stays in its
workdir, so that the same command again only does what is missing.
"""

STUDIES = {  # name -> function, number of seeds unless told, what it shows
  "digits": ("genjax.studies.digits:digits", 3, "INN, WINN-single and WINN with cascades on digits: Frechet distances"),
}
